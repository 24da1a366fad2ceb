from __future__ import annotations

from pathlib import Path

import pytest

from rimaging.catalogue import card_folder
from rimaging.datasets.data_card import data_root as find_data_root
from rimaging.datasets.data_card import load_data_card
from rimaging.datasets.operator_card import load_operator_card
from rimaging.errors import CardError, DataError, FormatError

CARDS = sorted(path.stem for path in card_folder("datasets").glob("*.toml"))
OPERATORS = sorted(path.stem for path in card_folder("operators").glob("*.toml"))


@pytest.mark.parametrize("name", CARDS)
def test_every_data_card_is_whole_and_its_splits_do_not_share(name: str) -> None:
    card = load_data_card(name)
    assert card.title
    assert card.source
    assert card.licence
    seen: dict[str, list[tuple[int, float]]] = {}
    for split in card.splits:
        for item in card.items(split):  # type: ignore[arg-type]
            start, stop = item.start or 0, float("inf") if item.stop is None else item.stop
            for other_start, other_stop in seen.get(item.path, []):
                assert stop <= other_start or start >= other_stop, item
            seen.setdefault(item.path, []).append((start, stop))


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_card_loads(name: str) -> None:
    assert load_operator_card(name).name == name


def test_cards_list_every_file_that_is_there_and_its_checksum(data_root: Path) -> None:
    listed = {path: sha for name in CARDS for path, sha in load_data_card(name).files.items()}
    for sums in data_root.glob("*/SHA256SUMS"):
        for line in sums.read_text().splitlines():
            sha256, path = line.split("  ", 1)
            if not path.endswith("README.md"):
                assert listed.pop(f"{sums.parent.name}/{path}") == sha256
    assert not listed


@pytest.mark.parametrize("name", ["levin09", "brain-poisson", "hst-hsc", "kellman", "set5"])
def test_real_files_are_what_their_card_says(data_root: Path, name: str) -> None:
    load_data_card(name).verify(data_root)


def test_measurements_of_a_split_are_its_entries(data_root: Path) -> None:
    card = load_data_card("oasis14")
    counts = {s: next(iter(card.measurements(s, data_root))).data.shape[0] for s in card.splits}  # type: ignore[arg-type]
    assert counts == {"train": 10, "validation": 2, "test": 2}
    (brain,) = load_data_card("brain-poisson").measurements("test", data_root)
    assert brain.kind == "kspace"


def test_stamps_and_kernels_are_tensors(data_root: Path) -> None:
    assert len(load_data_card("cosmos-psfs").tensors("validation", data_root)) == 10
    kernels = load_data_card("levin09").tensors("test", data_root)
    assert len(kernels) == 8
    assert all(abs(float(kernel.sum()) - 1) < 1e-4 for kernel in kernels)
    assert len(load_data_card("kair12").tensors("test", data_root)) == 12
    with pytest.raises(CardError, match="nothing reads"):
        load_data_card("eht-m87").tensors("test", data_root)
    with pytest.raises(CardError, match="stamps"):
        next(load_data_card("cosmos-psfs").measurements("test", data_root))


def test_leaking_images_are_left_out_of_training_unless_asked_for() -> None:
    card = load_data_card("bsds300")
    clean, all_ = card.items("train"), card.items("train", leaking=True)
    assert (len(clean), len(all_)) == (198, 200)
    gone = {item.path for item in all_} - {item.path for item in clean}
    assert gone == {f"natural/bsds300_train/{i}.jpg" for i in (12003, 302003)}
    assert len(card.items("test")) == 100


DATA = """
title = "t"
source = "s"
licence = "l"
reader = "measurement"
[split]
train = ["a/*.npy"]
[files]
"a/x.npy" = "{sha}"
"""


def test_missing_and_changed_files_are_counted_and_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(DATA.format(sha="0" * 64))
    card = load_data_card(path)
    with pytest.raises(DataError, match=r"1 are missing.*a/x.npy"):
        card.verify(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.npy").write_bytes(b"")
    with pytest.raises(DataError, match="1 changed"):
        card.verify(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("licence", "license", "did you mean 'licence'"),
        ("train", "training", "did you mean 'train'"),
        ('"measurement"', '"measurements"', "did you mean 'measurement'"),
        ('title = "t"\n', "", "lacks title"),
        ("a/*.npy", "b/*.npy", "matches no file"),
        ('"a/x.npy"', '"a/../x.npy"', "relative path"),
        ("0" * 64, "abc", "sha256"),
        ("[split]", "[split", "no TOML"),
        ('["a/*.npy"]', '"a/*.npy"', "expected a list of patterns"),
        ('title = "t"', "title = 3", "'title' .* expected a text"),
        ("[split]", '[leaks]\nfiles = ["a/x.npy"]\n[split]', r"\[\[leaks\]\]"),
    ],
)
def test_mistakes_in_a_data_card_are_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    text = DATA.format(sha="0" * 64)
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(CardError, match=words):
        load_data_card(path)


OPERATOR = """
operator = "cartesian"
[parameters]
coils = 8
snr = { loguniform = [1.0, 100.0] }
pattern = { choice = ["random", "lines"] }
[noise]
sigma = { uniform = [0.0, 1.0] }
"""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[parameters]", "[paramters]", "did you mean 'parameters'"),
        ("loguniform", "log_uniform", "did you mean 'loguniform'"),
        ("[1.0, 100.0]", "[0.0, 100.0]", "0 < low"),
        ("[1.0, 100.0]", "[100.0, 1.0]", "low <= high"),
        ("[1.0, 100.0]", "[1.0]", r"\[low, high\]"),
        ("[1.0, 100.0]", "3.0", "takes a list"),
        ('operator = "cartesian"', "", "lacks operator"),
        ('operator = "cartesian"', "operator = 3", "'operator' .* expected a text"),
        ("[noise]\n", "[noise]\na = { uniform = [0, 1], choice = [1] }\n", "2 distributions"),
    ],
)
def test_mistakes_in_an_operator_card_are_named(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(OPERATOR)
    assert load_operator_card(path).parameters["coils"] == 8
    assert old in OPERATOR
    path.write_text(OPERATOR.replace(old, new))
    with pytest.raises(CardError, match=words) as caught:
        load_operator_card(path)
    assert "\n" not in str(caught.value)


def test_unknown_parameters_get_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(OPERATOR.replace("coils", "coil"))
    card = load_operator_card(path)
    card.check_parameters(("coil", "snr", "pattern", "scale"))
    with pytest.raises(CardError, match="'coil': did you mean 'coils'"):
        card.check_parameters(("coils", "snr", "pattern"))


def test_a_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(CardError, match="did you mean 'bsds300'"):
        load_data_card("bsd300")


def test_the_root_is_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIMAGING_DATA", str(tmp_path))
    assert find_data_root() == tmp_path
    monkeypatch.setenv("RIMAGING_DATA", str(tmp_path / "absent"))
    with pytest.raises(FormatError, match="RIMAGING_DATA"):
        find_data_root()
