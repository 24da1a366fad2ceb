from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.datasets.survey import survey


def columns(*measured: int, height: int = 30, width: int = 40) -> torch.Tensor:
    mask = torch.zeros(height, width)
    mask[:, list(measured)] = 1
    return mask


@given(factor=st.integers(2, 6), half=st.integers(1, 5))
def test_equispaced_columns_with_their_calibration(factor: int, half: int) -> None:
    width = 60
    lines = {*range(0, width, factor), *range(30 - half, 30 + half)}
    found = survey(columns(*lines, width=width))
    extent = max(lines) - min(lines) + 1
    assert found.acceleration == pytest.approx(extent / len(lines))
    assert found.pattern.startswith(f"columns, every {factor}")
    assert found.calibration[0] == 30
    assert 2 * half <= found.calibration[1] <= 2 * half + 2
    assert f"every {factor}" in str(found)


def test_irregular_columns_rows_and_points() -> None:
    assert survey(columns(0, 3, 19, 20, 21, 28, 39)).pattern == "columns, irregular"
    assert survey(columns(0, 3, 19, 20, 21, 28, 39).mT).pattern == "rows, irregular"
    generator = torch.Generator().manual_seed(0)
    points = (torch.rand(30, 40, generator=generator) < 0.3).float()
    points[12:18, 17:23] = 1
    found = survey(points)
    assert found.pattern == "points of both axes"
    assert found.acceleration == pytest.approx(float(1 / points.mean()), rel=0.1)
    assert min(found.calibration) >= 6


def test_everything_measured_is_said() -> None:
    found = survey(torch.ones(3, 30, 40))
    assert str(found) == "fully sampled"
    assert found.calibration == (30, 40)


def test_partial_fourier_is_no_acceleration() -> None:
    mask = torch.ones(30, 40)
    mask[:, :10] = 0
    found = survey(mask)
    assert (found.acceleration, found.pattern) == (1.0, "fully sampled")
    assert found.partial == (0.0, 0.25)
    assert str(found) == "partial Fourier 0.75 along x, within it fully sampled"
    assert not found.full and found.overall == pytest.approx(4 / 3)
    assert survey(torch.ones(30, 40)).full
    mask[:, -10:] = 0  # padding on both sides is none
    assert survey(mask).partial == (0.0, 0.0)
    assert str(survey(mask)) == "fully sampled within 30 x 20"


def test_masks_that_differ_and_nothing_at_all() -> None:
    assert "another mask" in survey(torch.stack((columns(0, 20, 39), columns(1, 20, 39)))).pattern
    assert survey(torch.zeros(4, 4)).pattern == "nothing measured"
