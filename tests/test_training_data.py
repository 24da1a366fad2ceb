"""Data cards of one's own: the guide works as written, and cards that cannot are refused."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from typer.testing import CliRunner

from rimaging.cli import app
from rimaging.datasets.data_card import load_data_card
from rimaging.errors import CardError, OptionError
from rimaging.experiment import load_experiment, train
from rimaging.rim.weights import load_weights
from rimaging.training_data import OPEN, data_cards, digest

GUIDE = (Path(__file__).resolve().parents[1] / "docs" / "training.md").read_text()
PICTURES, PAIRS = re.findall(r"```toml\n(.*?)```", GUIDE, flags=re.DOTALL)
(LIST,) = re.findall(r"^    (\(cd .*sha256sum.*)$", GUIDE, flags=re.MULTILINE)
SMALL = {
    "fine": 4,
    "coarse": 4,
    "depth": 0,
    "steps": 2,
    "iterations": 2,
    "batch": 2,
    "size": 24,
    "warmup": 1,
    "validate_every": 1,
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root of pictures and pairs in two splits, and an empty folder for cards beside it."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:40, :48]
    for split in ("train", "validation"):
        folder = tmp_path / "data/own" / split
        folder.mkdir(parents=True)
        for index in range(2):
            clean = 120 + 60 * np.sin(0.1 * x + random.uniform(0, 6)) * np.cos(0.08 * y)
            noisy = random.poisson(clean)
            tifffile.imwrite(folder / f"{index} a_noisy.tif", noisy.astype(np.uint16))
            tifffile.imwrite(folder / f"{index} a_clean.tif", (200 * clean).astype(np.uint16))
            rgb = np.stack((clean, 0.8 * clean, 0.5 * clean), -1)
            Image.fromarray(rgb.astype(np.uint8)).save(folder / f"{index}.png")
    monkeypatch.setenv("RIMAGING_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(own: Path, text: str, name: str = "own") -> Path:
    """The card of the guide, with the files that the line of the guide lists."""
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum on this machine")
    card = own / f"{name}.toml"
    card.write_text(text)
    subprocess.run(["sh", "-c", LIST.replace("own.toml", card.name)], check=True, cwd=own)
    return card


@pytest.mark.parametrize("operator", ["gray-denoise", "denoise-colour", "image-any", "care"])
def test_the_guide_trains_as_written(own: Path, operator: str) -> None:
    card = listed(own, PAIRS if operator == "care" else PICTURES)
    plan = load_experiment(operator, [card], SMALL)
    path, _ = train(plan, own / "run")
    assert path is not None
    rim, written = load_weights(path)
    assert rim.config == plan.model
    assert [entry["name"] for entry in written["data"]] == ["own"]
    assert written["data"][0]["sha256"] == digest(load_data_card(card))
    assert written["figures"]["validation_psnr"] is not None


def test_what_is_learned_and_judged_follows_from_the_splits(own: Path) -> None:
    card = listed(own, PICTURES)
    text = card.read_text()
    swapped = text.replace("own/train/*", "@").replace("own/validation/*", "own/train/*")
    (own / "swapped.toml").write_text(swapped.replace("@", "own/validation/*"))
    found = []
    for name in ("own", "swapped", "own"):
        plan = load_experiment("gray-denoise", [own / f"{name}.toml"], SMALL)
        path, _ = train(plan, own / f"run{len(found)}")
        assert path is not None
        found.append(load_weights(path)[0].state_dict())
    one, other, again = found
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("sampler", sorted(OPEN - {"microscopy"}))
def test_noisy_images_of_pairs_are_no_truths(own: Path, sampler: str) -> None:
    card = listed(own, PAIRS)
    with pytest.raises(CardError, match="noisy images for truths"):
        data_cards(sampler, [card])


@pytest.mark.parametrize("sampler", sorted(OPEN))
def test_a_card_lacks_nothing_or_is_refused(own: Path, sampler: str) -> None:
    text = listed(own, PAIRS if sampler == "microscopy" else PICTURES).read_text()
    for old, new, words in (
        ('validation = ["own/validation/*"]\n', "", "no split 'validation' in 'mine'"),
        ('train = ["own/train/*"]\n', "", "no split 'train' in 'mine'"),
        ('"own/validation/*"', '"own/*/*"', "is in the split train and in validation"),
        ('"measurement"', '"stamps"', "has reader 'stamps'"),
    ):
        assert old in text
        (own / "mine.toml").write_text(text.replace(old, new))
        with pytest.raises(CardError, match=words):
            data_cards(sampler, [own / "mine.toml"])
    assert [card.name for card in data_cards(sampler, [own / "own.toml"])] == ["own"]
    with pytest.raises(OptionError, match="2 data cards are called 'own'"):
        data_cards(sampler, [own / "own.toml", own / "own.toml"])


@pytest.mark.parametrize(
    ("train", "validation", "shared"),
    [
        ("", "", True),
        ("", "[3:4]", True),
        ("[0:4]", "", True),
        ("[0:4]", "[3:9]", True),
        ("[0:4]", "[4:9]", False),
        ("[4:9]", "[0:4]", False),
    ],
)
def test_entries_of_one_file_may_be_shared_out(
    tmp_path: Path, train: str, validation: str, shared: bool
) -> None:
    card = tmp_path / "stack.toml"
    card.write_text(
        'title = "t"\nsource = "s"\nlicence = "l"\nreader = "measurement"\n[split]\n'
        f'train = ["a.npy{train}"]\nvalidation = ["a.npy{validation}"]\n'
        f'[files]\n"a.npy" = "{0:064x}"\n'
    )
    if shared:
        with pytest.raises(CardError, match=r"a\.npy is in the split train and in validation"):
            data_cards("photographs", [card])
    else:
        assert len(data_cards("photographs", [card])) == 1


def test_a_truth_that_was_taught_judges_nothing(own: Path) -> None:
    """Other noise, same truth: such pairs are in one split."""
    folder = own / "data/own"
    shutil.copy(folder / "train/0 a_clean.tif", folder / "validation/0 a_clean.tif")
    card = listed(own, PAIRS)
    with pytest.raises(CardError, match=r"0 a_clean\.tif is in the split train and in validation"):
        data_cards("microscopy", [card])


@pytest.mark.parametrize("sampler", ["kspace", "sky", "features"])
def test_other_samplers_say_that_they_know_their_cards_only(own: Path, sampler: str) -> None:
    card = listed(own, PICTURES)
    with pytest.raises(OptionError, match="does not read data card 'own': it knows no others"):
        data_cards(sampler, [card])


def test_the_command_line_tells_mistakes_in_one_line(own: Path) -> None:
    card = listed(own, PICTURES)
    (own / "run").mkdir()
    (own / "run/config.json").write_text("{")
    operator = 'operator = "identity"\nsampler = "photographs"\n[model]\n'
    (own / "mine.toml").write_text(f"{operator}fine = 4\ncoarse = 4\n")
    (own / "zero.toml").write_text(f"{operator}fine = 0\n")
    small = ["--iterations", "1", "--batch", "1", "--size", "16"]
    for arguments, words in (
        (["zero.toml", str(card), "--out", "a"], "[model] of card 'zero': fine is 0"),
        (["mine.toml", str(card), "--out", "a", "--minutes", "nan"], "minutes is nan"),
        (["mine.toml", str(card), "--out", "a", "--warmup", "-3"], "warmup is -3"),
        (["mine.toml", str(card), "--out", "a", "--size", "99"], "choose size <= 40"),
        (["mine.toml", str(card), "--out", "run"], "config.json is damaged"),
    ):
        result = CliRunner().invoke(app, ["train", *arguments[:4], *small, *arguments[4:]])
        assert result.exit_code == 2, result.output
        (line,) = result.stderr.splitlines()
        assert line.startswith("rimaging: error: ") and words in line
        assert "defect" not in line
