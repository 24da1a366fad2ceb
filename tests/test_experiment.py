from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rimaging.catalogue import card_folder
from rimaging.datasets.data_card import load_data_card
from rimaging.errors import CardError, DataError, FormatError, OptionError, WeightsError
from rimaging.experiment import Validation, load_experiment, sampler, train
from rimaging.rim.rim import RIM
from rimaging.rim.weights import load_weights, save_weights
from rimaging.training_data import READS, digest, linked_data

OPERATORS = sorted(path.stem for path in card_folder("operators").glob("*.toml"))
SMALL = {
    "fine": 4,
    "coarse": 4,
    "steps": 2,
    "iterations": 6,
    "batch": 2,
    "size": 16,
    "warmup": 2,
    "validate_every": 4,
}


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root with a few photographs and their card, which is given back."""
    random = np.random.default_rng(0)
    files = {}
    for folder in ("bsds300_train", "bsds500_extra200"):
        (tmp_path / "data/natural" / folder).mkdir(parents=True)
        for index in range(2):
            path = tmp_path / f"data/natural/{folder}/{index}.png"
            Image.fromarray(random.integers(0, 256, (20, 24), dtype=np.uint8)).save(path)
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            files[f"natural/{folder}/{index}.png"] = sha256
    (tmp_path / "data/natural/bsds300_train/unlisted.png").write_bytes(b"no picture")
    card = tmp_path / "bsds300.toml"
    card.write_text(
        'title = "t"\nsource = "s"\nlicence = "l"\nreader = "measurement"\n[split]\n'
        'train = ["natural/bsds300_train/*"]\nvalidation = ["natural/bsds500_extra200/*"]\n'
        "[files]\n" + "\n".join(f'"{path}" = "{sha256}"' for path, sha256 in files.items())
    )
    monkeypatch.setenv("RIMAGING_DATA", str(tmp_path / "data"))
    return card


def ema(path: Path) -> dict[str, torch.Tensor]:
    return dict(load_weights(path)[0].state_dict())


def assert_equal(first: Path, second: Path) -> None:
    one, other = ema(first), ema(second)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_weights_say_what_they_were_trained_on(photographs: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    plan = load_experiment("gray-denoise", [photographs], SMALL)
    path, stopped = train(plan, tmp_path / "run", on_step=lambda p: seen.append(p.iteration))
    assert stopped is None
    assert path == tmp_path / "run/gray-denoise.safetensors"
    assert seen == [1, 2, 3, 4, 5, 6]
    rim, card = load_weights(path)
    assert rim.config == plan.model
    assert card["operator"]["parameters"] == {"sigma": {"uniform": [3.0, 65.0]}}
    assert card["data"][0]["sha256"] == digest(load_data_card(photographs))
    assert card["training"]["iterations"] == 6
    assert card["figures"]["validation_psnr"] == pytest.approx(
        Validation(_validation(photographs), plan.training)(rim), abs=1e-3
    )
    curves = (tmp_path / "run/curves.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in curves] == ["iteration", "4", "6"]
    assert (tmp_path / "run/curves.png").read_bytes().startswith(b"\x89PNG")


def test_an_error_that_is_learned_later_leaves_card_and_weights(
    photographs: Path, tmp_path: Path
) -> None:
    first, _ = train(load_experiment("gray-denoise", [photographs], SMALL), tmp_path / "run")
    assert first is not None
    settings = {**SMALL, "error_features": 4, "error_only": True}
    plan = load_experiment("gray-denoise", [photographs], settings)
    path, _ = train(plan, tmp_path / "error", start=first)
    assert path is not None
    (before, old), (after, new) = load_weights(first), load_weights(path)
    assert before.error_head is None and after.error_head is not None
    kept = {k: v for k, v in after.state_dict().items() if not k.startswith("error_head.")}
    assert all(torch.equal(kept[k], v) for k, v in before.state_dict().items())
    assert new["training"] == old["training"] and new["name"] == old["name"]
    assert new["error"]["training"]["error_only"]
    assert new["error"]["trained"]["start"] == old["sha256"]


def _validation(card: Path):  # type: ignore[no-untyped-def]
    plan = load_experiment("gray-denoise", [card])
    with linked_data(plan.data) as root:
        return sampler(plan.operator, root, "validation", plan.data)


def test_only_what_the_cards_list_is_read(photographs: Path) -> None:
    with linked_data([load_data_card(photographs)]) as root:
        names = sorted(path.name for path in root.rglob("*.png"))
    assert names == ["0.png", "0.png", "1.png", "1.png"]


def test_stopped_and_resumed_equals_never_stopped(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, _ = train(load_experiment("gray-denoise", [photographs], SMALL), tmp_path / "a")
    assert straight is not None

    def stop(standing) -> None:  # type: ignore[no-untyped-def]
        if standing.iteration == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    plan = load_experiment("gray-denoise", [photographs], SMALL)
    assert train(plan, tmp_path / "b", on_step=stop) == (None, signal.SIGTERM)
    assert not list((tmp_path / "b").glob("gray*"))
    resumed: list[int] = []
    path, _ = train(plan, tmp_path / "b", on_step=lambda p: resumed.append(p.iteration))
    assert resumed == [4, 5, 6]
    assert path is not None
    assert_equal(straight, path)
    rows = [(tmp_path / run / "curves.csv").read_text().splitlines() for run in "ab"]
    timeless = [[row.split(",")[:1] + row.split(",")[2:] for row in run] for run in rows]
    assert timeless[0] == timeless[1]


def test_sigterm_saves_says_how_to_go_on_and_exits_143(photographs: Path, tmp_path: Path) -> None:
    card = tmp_path / "small.toml"
    card.write_text(
        'operator = "identity"\nsampler = "photographs"\n[model]\nfine = 4\ncoarse = 4\nsteps = 2\n'
        "[training]\niterations = 40\nbatch = 2\nsize = 16\nvalidate_every = 20\n"
    )
    straight, _ = train(load_experiment(card, [photographs]), tmp_path / "a")
    assert straight is not None
    threads = str(torch.get_num_threads())
    command = [sys.executable, "-m", "rimaging", "train", str(card), str(photographs)]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "b")],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": threads},
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "b/curves.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert errors.splitlines()[-1] == (
        "rimaging: stopped and saved; run the same command again to go on"
    )
    assert not (tmp_path / "b/small.safetensors").exists()
    path, _ = train(load_experiment(card, [photographs]), tmp_path / "b")
    assert path is not None
    assert_equal(straight, path)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_card_is_an_experiment(name: str) -> None:
    plan = load_experiment(name)
    assert [card.name for card in plan.data] == list(READS[str(plan.operator.sampler)])
    assert RIM(plan.model).config.complex == (plan.operator.operator == "cartesian")


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_card_trains_on_the_real_data(
    name: str, data_root: Path, tmp_path: Path
) -> None:
    parameters = {"galaxies": 4, "versions": 1, "kernels": 3} if name == "sky-psf" else {}
    plan = load_experiment(name, (), {**SMALL, "iterations": 1, "size": 48})
    plan.operator.parameters.update(parameters)  # type: ignore[attr-defined]
    path, _ = train(plan, tmp_path)
    assert path is not None
    card = load_weights(path)[1]
    assert card["figures"]["validation_psnr"] > 0
    assert json.loads((tmp_path / "config.json").read_text())["operator"] == name


def test_another_setting_does_not_resume(photographs: Path, tmp_path: Path) -> None:
    train(load_experiment("gray-denoise", [photographs], SMALL), tmp_path / "a")
    other = load_experiment("gray-denoise", [photographs], {**SMALL, "seed": 1})
    with pytest.raises(OptionError, match=r"other settings \(seed\)"):
        train(other, tmp_path / "a")


def test_training_starts_from_given_weights(photographs: Path, tmp_path: Path) -> None:
    plan = load_experiment("gray-denoise", [photographs], {**SMALL, "iterations": 1})
    torch.manual_seed(11)
    given = RIM(plan.model)
    save_weights(given, tmp_path / "given.safetensors", {})
    path, _ = train(plan, tmp_path / "a", start=tmp_path / "given.safetensors")
    assert path is not None
    # One step of Adam moves each value by the learning rate at most, the first of two of warm-up.
    for name, value in given.state_dict().items():
        assert float((ema(path)[name] - value).abs().max()) <= 1.01e-3
    other = load_experiment("gray-denoise", [photographs], {**SMALL, "fine": 8})
    with pytest.raises(WeightsError, match="start from"):
        train(other, tmp_path / "b", start=tmp_path / "given.safetensors")


def test_changed_data_are_refused(photographs: Path, tmp_path: Path) -> None:
    plan = load_experiment("gray-denoise", [photographs], SMALL)
    (tmp_path / "data/natural/bsds300_train/0.png").write_bytes(b"changed")
    with pytest.raises(DataError, match="1 changed"):
        train(plan, tmp_path / "a")


def test_too_few_data_cards_are_named(photographs: Path, tmp_path: Path) -> None:
    plan = load_experiment("mri-cartesian", [photographs])
    with pytest.raises(FormatError, match="data cards bsds300 are too few"):
        train(plan, tmp_path / "a")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"iteration": 5}, "no setting 'iteration'"),
        ({"batch": 0}, "batch is 0"),
        ({"steps": 2.5}, "whole number"),
        ({"learning_rate": -1.0}, "between 0 and 1"),
    ],
)
def test_mistakes_in_settings_are_named(settings: dict[str, float], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        load_experiment("gray-denoise", (), settings)


def test_mistakes_in_cards_are_named(tmp_path: Path) -> None:
    text = (card_folder("operators") / "gray-denoise.toml").read_text()
    card = tmp_path / "mine.toml"
    for old, new, words in (
        ("[model]\nsteps", "[model]\nstep", "did you mean 'steps'"),
        ("iterations", "iteration", "did you mean 'iterations'"),
        ('"photographs"', '"paintings"', "sampler 'paintings'"),
    ):
        assert old in text
        card.write_text(text.replace(old, new))
        with pytest.raises(CardError, match=words):
            load_experiment(card)
    with pytest.raises(OptionError, match="does not read data card 'kellman': it knows no others"):
        load_experiment("sky-psf", ["kellman"])
