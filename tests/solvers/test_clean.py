"""CLEAN: points come back, the sum is kept, and what cannot be is refused."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.solvers.clean import clean

N = 24


def dirty_beam() -> Tensor:
    """An airy-like beam with negative side lobes that reaches over the whole image."""
    axis = torch.arange(-N + 1, N, dtype=torch.float64)
    r = torch.hypot(axis[:, None], axis[None, :])
    return torch.cos(r) * torch.exp(-r / 8)


BEAM = dirty_beam()


def seen(sky: Tensor) -> Tensor:
    out = torch.zeros(N, N, dtype=torch.float64)
    for y, x in sky.nonzero().tolist():
        out += sky[y, x] * BEAM[N - 1 - y : 2 * N - 1 - y, N - 1 - x : 2 * N - 1 - x]
    return out


@given(st.integers(0, N - 1), st.integers(0, N - 1), st.sampled_from([-2.0, 0.3, 5.0]))
def test_a_single_point_comes_back(y: int, x: int, flux: float) -> None:
    sky = torch.zeros(N, N, dtype=torch.float64)
    sky[y, x] = flux
    found = clean(seen(sky), BEAM, threshold=1e-6 * abs(flux))
    assert torch.allclose(found.model, sky, atol=2e-6 * abs(flux))
    assert found.components == math.ceil(math.log(1e-6) / math.log(0.9))
    assert float(found.residual.abs().max()) <= 1e-6 * abs(flux)


def test_what_is_taken_off_is_what_the_model_shows() -> None:
    dirty = torch.randn(N, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = clean(dirty, BEAM, threshold=0.5, iterations=300)
    assert found.components > 10
    assert torch.allclose(seen(found.model) + found.residual, dirty, atol=1e-10)


def test_scaling_and_shifting_the_sky() -> None:
    sky = torch.zeros(N, N, dtype=torch.float64)
    sky[8, 9], sky[12, 14] = 2.0, 1.0
    one = clean(seen(sky), BEAM, threshold=0.1).model
    assert torch.equal(clean(4 * seen(sky), BEAM, threshold=0.4).model, 4 * one)
    moved = clean(seen(sky.roll((3, -2), (0, 1))), BEAM, threshold=0.1).model
    assert torch.allclose(moved, one.roll((3, -2), (0, 1)), atol=1e-12)


def test_a_window_and_a_small_beam() -> None:
    sky = torch.zeros(N, N, dtype=torch.float64)
    sky[8, 9], sky[12, 18] = 1.0, 3.0
    window = torch.zeros(N, N)
    window[4:12, 4:14] = 1
    found = clean(seen(sky), BEAM, threshold=0.2, window=window)
    assert bool((found.model[window == 0] == 0).all()) and found.components > 0
    narrow = torch.zeros(3, 3, dtype=torch.float64)
    narrow[1, 1] = 1
    assert torch.allclose(clean(sky, narrow, threshold=1e-9, gain=1.0).model, sky)


def test_it_ends_where_it_would_diverge() -> None:
    wrong = -0.9 * torch.ones(2 * N - 1, 2 * N - 1, dtype=torch.float64)
    wrong[N - 1, N - 1] = 1
    dirty = torch.ones(N, N, dtype=torch.float64)
    found = clean(dirty, wrong, threshold=0.0, iterations=10_000)
    assert found.components < 100 and bool(torch.isfinite(found.residual).all())


def test_what_cannot_be_is_refused() -> None:
    dirty = torch.zeros(N, N, dtype=torch.float64)
    with pytest.raises(OptionError, match="gain"):
        clean(dirty, BEAM, threshold=1.0, gain=0.0)
    with pytest.raises(ShapeError, match="odd"):
        clean(dirty, BEAM[1:], threshold=1.0)
    with pytest.raises(ShapeError, match="window"):
        clean(dirty, BEAM, threshold=1.0, window=torch.ones(3, 3))
    with pytest.raises(DataError, match="peak"):
        clean(dirty, 2 * BEAM, threshold=1.0)
    with pytest.raises(DataError, match="NaN"):
        clean(dirty * torch.nan, BEAM, threshold=1.0)
