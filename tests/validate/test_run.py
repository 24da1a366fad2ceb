"""All gates at once: the truth-telling oracle passes, real methods give a table and a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rimaging.datasets.measurement import Measurement
from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.target import gaussian_psf
from rimaging.validate.experiments import Answer, stretched
from rimaging.validate.run import run_gates, validate


def test_the_oracle_passes_every_gate_and_a_liar_fails_its_own(oracle: Any, place: Any) -> None:
    honest = run_gates(place, oracle, 12)
    assert [gate.number for gate in honest.gates] == list(range(1, 12))
    outcomes = {gate.number: gate.outcome for gate in honest.gates}
    assert outcomes.pop(8) == "not given"
    assert set(outcomes.values()) == {"pass"}, honest.text()
    assert honest.passed

    def liar(measurement: Measurement, target: float) -> Answer:
        image, residual, _ = oracle(measurement, target)
        assert measurement.psf is not None
        peak = measurement.psf.max() / place.psf.max()  # light that hangs on the PSF
        noisy = image + (image - 100) * (peak - 1) - (image.mean() - 100) + 0.01
        left = 0.1 * (measurement.data - image.mean()).clamp_min(0)
        return Answer(noisy, residual + left, torch.full_like(image, 1e3))

    false = run_gates(place, liar, 12)
    failed = {gate.number for gate in false.gates if gate.outcome == "fail"}
    assert {4, 7, 8, 9, 10, 11} <= failed and not false.passed


def test_a_validation_of_a_real_method_tells_and_writes_a_page(
    tmp_path: Path, oracle: Any, real_weights: Path
) -> None:
    cube = np.stack([np.zeros_like(oracle.data), oracle.data.numpy()])
    given = {"weights": real_weights, "band": 1, "size": 80, "quick": True, "error_map": 4}
    result = validate(cube, 3.0, 0.5, **given)  # type: ignore[arg-type]
    assert result.gates[7].outcome in ("pass", "fail") and "times the map" in result.text()
    assert len(result.gates) == 11 and result.facts["pixels"] == "80 x 80"
    assert "star flux against magnitude" in result.text()
    page = result.report(tmp_path / "page.html").read_text()
    assert "Gates" in page and "9. PSF width wrong by 5 %" in page and 'src="http' not in page
    assert page.count("data:image/png") >= 5


def test_gates_judge_the_image_that_is_given(oracle: Any) -> None:
    """A method that stopped too soon leaves light over; put back, that is in the image."""

    def left(add_residual: bool) -> float:
        found = validate(
            oracle.data,
            4.0,
            0.5,
            method="richardson-lucy",
            iterations=1,
            add_residual=add_residual,
            error_map=None,
            quick=True,
        )
        return abs(found.gates[10].numbers["stars"])

    assert left(add_residual=True) < 0.5 * left(add_residual=False)


def test_what_cannot_be_validated_is_refused(oracle: Any) -> None:
    with pytest.raises(DataError, match="PSF"):
        validate(oracle.data, noise=0.5)
    with pytest.raises(OptionError, match="band 4"):
        validate(oracle.data, 3.0, 0.5, band=4)
    with pytest.raises(OptionError, match="target"):
        validate(oracle.data, 3.0, 0.5, target=0.0)
    with pytest.raises(ShapeError, match="pixels at least"):
        validate(oracle.data[:14, :14], 3.0, 0.5, method="wiener")


def test_a_stretched_psf_is_wider_and_as_heavy() -> None:
    psf = gaussian_psf(4.0)
    wide = stretched(psf, 1.05)
    assert float(wide.sum()) == pytest.approx(1, abs=1e-5)
    assert float(psf.max() / wide.max()) == pytest.approx(1.05**2, rel=0.01)
