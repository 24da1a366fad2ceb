from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rimaging.benchmark import denoise, denoise_colour
from rimaging.errors import FormatError


def test_noise_is_the_same_each_time_and_other_for_other_images() -> None:
    image = torch.full((64, 64), 128.0)
    first, again, other = (denoise.add_noise(image, 25, index) for index in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert float((first - image).std()) == pytest.approx(25, rel=0.05)


def test_quantised_data_fit_in_eight_bits() -> None:
    noisy = denoise.add_noise(torch.linspace(0, 255, 4096).reshape(64, 64), 50, 0, quantised=True)
    assert torch.equal(noisy, noisy.to(torch.uint8).float())


def test_it_prints_and_writes_the_tables(
    data_root: Path,
    real_weights: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gray = denoise.gray
    monkeypatch.setattr(denoise, "gray", lambda file: gray(file)[:64, :80])
    monkeypatch.setattr(denoise, "SIGMAS", (25,))
    monkeypatch.setattr(denoise, "PUBLISHED", (("BM3D (published)", (28.57,), "0"),))
    monkeypatch.setattr(denoise, "QUANTISED", ())
    monkeypatch.setattr(denoise, "QUANTISED_100", ())
    hundred = denoise.bsds300
    monkeypatch.setattr(denoise, "bsds300", lambda *a: [x[:64, :80] for x in hundred(*a)[:2]])
    monkeypatch.setattr(denoise, "has_bm3d", lambda: False)
    monkeypatch.setattr(denoise_colour, "has_bm3d", lambda: False)
    colour = denoise_colour.colour_set
    monkeypatch.setattr(
        denoise_colour, "colour_set", lambda *a: [x[:, :40, :48] for x in colour(*a)]
    )
    out = tmp_path / "out"
    denoise.main(data_root, real_weights, limit=1, out=out)
    printed = capsys.readouterr().out
    for words in (
        "28.57",
        "RIM (ours)",
        "BSD68, 8-bit data",
        "BSD300",
        "non-local means",
        "MAP",
        "CBSD68",
        "ensemble",
    ):
        assert words in printed
    assert (out / "denoise.md").is_file()
    assert (out / "denoise-sigma25.png").read_bytes().startswith(b"\x89PNG")


def test_absent_images_are_said(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="bsd68_gray"):
        denoise.main(tmp_path, "image")
