from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import pytest
import torch

from rimaging.errors import WeightsError
from rimaging.rim import weights
from rimaging.rim.config import RIMConfig
from rimaging.rim.rim import RIM
from rimaging.rim.weights import file_sha256, load_weights, save_weights, write_tensors

CONFIG = RIMConfig(steps=3, fine=4, coarse=4)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    path = tmp_path / "mine.safetensors"
    save_weights(RIM(CONFIG), path, {"title": "test", "figures": {"psnr": 30.0}})
    return path


def test_weights_come_back_as_they_were(saved: Path) -> None:
    torch.manual_seed(3)
    original = RIM(CONFIG).state_dict()
    rim, card = load_weights(saved)
    assert rim.config == CONFIG
    assert not rim.training
    assert not any(parameter.requires_grad for parameter in rim.parameters())
    assert all(torch.equal(value, original[name]) for name, value in rim.state_dict().items())
    assert card["title"] == "test"
    assert card["figures"] == {"psnr": 30.0}
    assert card["sha256"] == file_sha256(saved)
    assert card["parameters"] == sum(value.numel() for value in rim.parameters())
    assert not list(saved.parent.glob("*.part"))


def test_weights_are_as_readable_as_any_other_file(saved: Path) -> None:
    other = saved.with_name("other")
    other.write_bytes(b"")
    assert saved.stat().st_mode == other.stat().st_mode


def test_the_digest_must_be_the_one_asked_for(saved: Path) -> None:
    load_weights(saved, file_sha256(saved).upper())
    with pytest.raises(WeightsError, match="expected 0000"):
        load_weights(saved, "0" * 64)


def one_line(error: pytest.ExceptionInfo[WeightsError]) -> None:
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kept", [0, 4, 8, 100, -1])
def test_truncated_files_are_refused(saved: Path, kept: int) -> None:
    saved.write_bytes(saved.read_bytes()[:kept])
    with pytest.raises(WeightsError, match="damaged") as error:
        load_weights(saved)
    one_line(error)


@pytest.mark.parametrize("length", [2**63, 2**63 - 1, 2**31, 10**9])
def test_headers_of_absurd_length_are_refused(saved: Path, length: int) -> None:
    saved.write_bytes(struct.pack("<Q", length) + saved.read_bytes()[8:])
    with pytest.raises(WeightsError, match="damaged") as error:
        load_weights(saved)
    one_line(error)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 64]},  # beyond the end
        {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 16]},  # shape and bytes disagree
        {"dtype": "F99", "shape": [4], "data_offsets": [0, 16]},
    ],
)
def test_headers_that_lie_are_refused(tmp_path: Path, entry: dict[str, object]) -> None:
    header = json.dumps({"x": entry}).encode()
    path = tmp_path / "lie.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    with pytest.raises(WeightsError, match="damaged") as error:
        load_weights(path)
    one_line(error)


class Trap:
    """A pickle that would leave a trace if anything loaded it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.ckpt", "model.safetensors"])
def test_pickles_are_refused_and_never_run(tmp_path: Path, name: str) -> None:
    trace = tmp_path / "trace"
    (tmp_path / name).write_bytes(pickle.dumps(Trap(trace)))
    with pytest.raises(WeightsError):
        load_weights(tmp_path / name)
    assert not trace.exists()
    pickle.loads((tmp_path / name).read_bytes())
    assert trace.exists(), "the trap itself must work"


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_values_that_are_not_finite_are_refused(saved: Path, bad: float) -> None:
    rim = RIM(CONFIG)
    with torch.no_grad():
        rim.cell.read.weight[0, 0] = bad
    save_weights(rim, saved, {})
    with pytest.raises(WeightsError, match="not finite in cell"):
        load_weights(saved)


def rewritten(path: Path, card: dict[str, object] | None, drop: str = "") -> None:
    tensors = {name: value for name, value in RIM(CONFIG).state_dict().items() if name != drop}
    write_tensors(path, tensors, {} if card is None else {"card": json.dumps(card)})


def test_files_of_others_are_refused(saved: Path) -> None:
    rewritten(saved, {"model": {"fine": 4, "coarse": 4, "attention": True}})
    with pytest.raises(WeightsError, match="unknown settings attention"):
        load_weights(saved)
    for card, drop in (
        (None, ""),
        ({}, ""),
        ({"model": 5}, ""),
        ({"model": {"fine": "four"}}, ""),
        ({"model": {"fine": 8, "coarse": 4}}, ""),
        ({"model": {"fine": 4, "coarse": 4}}, "cell.read.weight"),
    ):
        rewritten(saved, card, drop)
        with pytest.raises(WeightsError) as error:
            load_weights(saved)
        one_line(error)


def test_unknown_names_and_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weights named 'mir'"):
        load_weights("mir")
    with pytest.raises(WeightsError, match="no weights at"):
        load_weights(tmp_path / "absent.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(WeightsError):
        load_weights(tmp_path / "folder.safetensors")


@pytest.mark.parametrize("scheme", ["http", "ftp", "file"])
def test_only_https_is_fetched(scheme: str) -> None:
    with pytest.raises(WeightsError, match="https only"):
        load_weights(f"{scheme}://example.org/a.safetensors", "0" * 64)


def test_a_url_needs_its_digest() -> None:
    with pytest.raises(WeightsError, match="need their sha256"):
        load_weights("https://example.org/a.safetensors")


def test_a_fetched_file_is_kept_and_never_fetched_again(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    digest = file_sha256(saved)
    cached = tmp_path / "rimaging" / f"{digest}.safetensors"
    cached.parent.mkdir()
    cached.write_bytes(saved.read_bytes())
    # example.invalid does not exist: only the cache can answer.
    rim, _ = load_weights("https://example.invalid/mine.safetensors", digest)
    assert rim.config == CONFIG


def test_every_shipped_set_loads_and_is_small() -> None:
    for name in weights.shipped():
        _, card = load_weights(name)
        assert card["parameters"] > 0
        assert (weights.SHIPPED / f"{name}.safetensors").stat().st_size < 4 * 2**20
