"""Gate 8: a map that tells the truth passes; a proud one fails, also if only at the sources."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.validate.coverage import Repetition, error_map
from rimaging.validate.experiments import Answer, seen_again
from rimaging.validate.sources import seen_by_psf, stars

GENERATOR = torch.Generator().manual_seed(3)
SHAPE = (160, 160)
ERROR = 1 + torch.rand(SHAPE, generator=GENERATOR)
NOISE = ERROR * torch.randn(SHAPE, generator=GENERATOR)
PLACES = torch.arange(10.0, 150, 14)
X, Y = (axis.flatten() for axis in torch.meshgrid(PLACES, PLACES, indexing="xy"))


def gate(noise: Tensor, uncertainty: Tensor | None, measured: Tensor | None = None) -> Any:
    known = torch.ones(SHAPE, dtype=torch.bool) if measured is None else measured
    truth = 100 * ERROR
    catalogue = stars(X, Y, torch.ones_like(X))
    return error_map(Repetition(truth + noise, truth, uncertainty, known, catalogue), 2.0)


def test_coverage_is_not_given_right_or_wrong() -> None:
    assert gate(NOISE, None).outcome == "not given"
    honest = gate(NOISE, ERROR)
    assert honest.outcome == "pass", honest.finding
    assert honest.numbers["error over map, sources"] == pytest.approx(1, abs=0.1)
    assert gate(NOISE, 0.7 * ERROR).outcome == "fail"  # too proud
    assert gate(NOISE, 1.4 * ERROR).outcome == "fail"  # too modest
    assert gate(NOISE, ERROR.mean().expand(SHAPE)).numbers["1 sigma"] == pytest.approx(
        0.68, abs=0.05
    )
    assert gate(NOISE, torch.zeros(SHAPE)).outcome == "fail"


def test_a_map_that_fails_at_the_sources_alone_fails() -> None:
    spoilt = NOISE.clone()
    for x, y in zip(X.long().tolist(), Y.long().tolist(), strict=True):
        spoilt[y - 2 : y + 3, x - 2 : x + 3] *= 3
    found = gate(spoilt, ERROR)
    assert found.outcome == "fail"
    assert found.numbers["error over map, sources"] > 2
    assert found.numbers["1 sigma"] > 0.6


def test_bad_pixels_do_not_count() -> None:
    measured = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1)) > 0.2
    spoilt = torch.where(measured, NOISE, 1e6)
    assert gate(spoilt, ERROR, measured).outcome == "pass"
    nowhere = torch.zeros(SHAPE, dtype=torch.bool)
    nowhere[:3] = True
    alone = gate(NOISE, ERROR, nowhere)
    assert alone.outcome == "fail" and "0 stars" in alone.finding


def test_the_injected_light_is_in_the_data_and_in_the_truth(oracle: Any, place: Any) -> None:
    """An estimator that recovers the light exactly errs by what it adds itself."""
    base = oracle(place.measurement, place.target)
    state = place.generator.get_state()
    light = seen_by_psf(place.mixture(48), place.psf, place.shape)
    place.generator.set_state(state)  # the gate draws the same
    own = 0.5 * torch.randn(place.shape, generator=torch.Generator().manual_seed(7))
    seen = []

    def exact(measurement: Measurement, target: float) -> Answer:
        seen.append(measurement.data - (place.measurement.data - base.residual * place.noise))
        image, residual, _ = oracle(replace(measurement, data=oracle.data + light), target)
        return Answer(image + own, residual, torch.full_like(image, 0.5))

    found = seen_again(place, exact, base, 48)
    noise = seen[0] - light
    assert float(noise.std()) == pytest.approx(place.sigma, rel=0.05)
    assert float(light.max()) > 20 * float(noise.abs().max())
    assert found.outcome == "pass", found.finding
