"""The comparison of shapes: the truth is judged perfect, and a small run gives every row."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rimaging.benchmark import lsst
from rimaging.operators.convolution import Convolution
from rimaging.operators.target import gaussian_psf
from rimaging.rim.weights import load_weights


def test_the_truth_is_judged_perfect_and_darkness_infinitely_wrong() -> None:
    truth = torch.nn.functional.pad(gaussian_psf(6.0), (9, 9, 9, 9))[None]
    perfect = lsst.judged("truth", truth, truth)
    assert (perfect.shape, perfect.flux) == (0, 0)
    psf = gaussian_psf(lsst.TARGET)
    seen = Convolution(psf, truth.shape[-2:], "zero")(truth)
    assert lsst.judged("at the target", truth, seen, psf).shape == pytest.approx(0, abs=1e-6)
    assert lsst.judged("dark", truth, 0 * truth).shape == float("inf")


def test_a_line_says_what_is_known_and_what_was_chosen() -> None:
    assert lsst.Line("ADMM").row("SNR 20", 0.0656) == ["SNR 20: ADMM", "–", "–", "0.0656"]
    row = lsst.Line("best", 0.05, 0.021, " (50)").row("SNR 20", float("nan"))
    assert row == ["SNR 20: best", "0.0500 (50)", "2.10 %", "–"]


def test_two_scenes_give_both_tables(data_root: Path, real_weights: str) -> None:
    pytest.importorskip("galsim", reason="galsim is optional")
    folder = data_root / "astro" / "cosmos_galaxies"
    rim, _ = load_weights(real_weights)
    stated, noisier = lsst.tables(folder, rim, limit=2)
    assert stated.protocol[0].startswith("2 scenes")
    methods = [*lsst.PUBLISHED, "Richardson-Lucy, best for the shape", "RIM (ours)"]
    for table in (stated, noisier):
        assert len(table.rows) == len(lsst.SNRS) * len(methods)
        assert all(len(row) == len(table.columns) for row in table.rows)
        assert {row[0].partition(": ")[2] for row in table.rows} == set(methods)
        assert not any("nan" in cell or "inf" in cell for row in table.rows for cell in row)
    again = lsst.tables(folder, rim, limit=2)
    assert [table.rows for table in again] == [stated.rows, noisier.rows]
