from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rimaging.benchmark import astro
from rimaging.benchmark.table import Table
from rimaging.errors import FormatError
from rimaging.operators.target import gaussian_psf
from rimaging.reports.galaxies import adaptive_moments


@pytest.fixture(scope="module")
def stamps() -> Tensor:
    """Two round galaxies (2, 65, 65) of flux 1."""
    pad = torch.nn.functional.pad
    small, large = gaussian_psf(4.0), gaussian_psf(8.0)
    return torch.stack([pad(g, (32 - len(g) // 2,) * 4) for g in (small, large)])


def test_moffat_has_the_width_and_the_shear_that_were_asked_for() -> None:
    psf = astro.moffat(4.0, 0.0, 0.0)
    centre = astro.SIDE // 2
    assert float(psf[centre, centre + 2] / psf[centre, centre]) == pytest.approx(0.5)
    moments = adaptive_moments(astro.moffat(5.0, 0.05, -0.03))
    assert float(moments.g1) == pytest.approx(0.05, abs=2e-3)
    assert float(moments.g2) == pytest.approx(-0.03, abs=2e-3)


def test_scene_has_the_signal_to_noise_that_was_asked_for(stamps: Tensor) -> None:
    seen = astro.scene(stamps, 40)
    assert len(seen.y) == astro.NOISES * len(stamps)
    noise = seen.y[0] - (seen.y[0] + seen.y[astro.NOISES]) / 2
    assert torch.isfinite(noise).all()
    corner = seen.y[:, :10, :10].std(dim=(-2, -1))
    torch.testing.assert_close(corner, seen.sigma.flatten(), rtol=0.3, atol=0)


def test_the_truth_is_judged_perfect_and_light_without_shape_a_failure(stamps: Tensor) -> None:
    truth = astro.scene(stamps, 40).truth
    judge = astro.Judge(truth)
    perfect = judge(truth)
    assert (perfect.shape, perfect.failures, perfect.flux, perfect.psnr) == (0, 0, 0, math.inf)
    nothing = judge(torch.zeros_like(truth))
    assert (nothing.failures, nothing.shape) == (len(truth), math.inf)


def test_each_column_has_its_own_best_setting() -> None:
    scores = [
        astro.Scores(shape=0.1, failures=3, flux=0.3, bias=0.2, psnr=20.0),
        astro.Scores(shape=0.2, failures=0, flux=0.1, bias=-0.1, psnr=10.0),
    ]
    candidates = [astro.Candidate(name, s) for name, s in zip("ab", scores, strict=True)]
    cells = astro.row("x", candidates)
    assert cells == ["x", "0.1000 (a)", "3", "10.00 % (b)", "-10.00 %", "20.00 (a)"]


def test_it_prints_and_writes_the_table(
    stamps: Tensor,
    real_weights: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "astro" / "cosmos_galaxies").mkdir(parents=True)
    monkeypatch.setattr(astro, "cosmos_galaxies", lambda *_: stamps)
    monkeypatch.setattr(astro, "SNRS", (40,))
    monkeypatch.setattr(astro, "COUNTS", (2, 6))
    monkeypatch.setattr(astro, "RATIOS", {2.0: (0.1, 0.1)})
    monkeypatch.setattr(astro.lsst, "tables", lambda *_: [Table("Another", [], [""], [["line"]])])
    astro.main(tmp_path, real_weights, limit=1, out=tmp_path / "out")
    printed = capsys.readouterr().out
    for title in ("Deconvolution of real galaxies", "Another"):
        assert title in printed
        assert f"## {title}\n" in (tmp_path / "out" / "astro.md").read_text(encoding="utf-8")
    for words in ("SNR 40: Richardson-Lucy", "Wiener", "RIM (ours)", "not deconvolved"):
        assert words in printed
    assert (tmp_path / "out" / "astro-snr40.png").read_bytes().startswith(b"\x89PNG")


def test_absent_galaxies_are_said(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cosmos_galaxies"):
        astro.main(tmp_path, "astro")
