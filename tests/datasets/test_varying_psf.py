"""A PSF that varies: sum 1 everywhere, the right weights, the way to a target."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.datasets.varying_psf import Grid, Polynomial, VaryingPsf
from rimaging.errors import DataError, ShapeError
from rimaging.operators.target import gaussian_psf, relative_kernel

NARROW = torch.nn.functional.pad(gaussian_psf(3.0), (2, 2, 2, 2))
WIDE = gaussian_psf(4.0)


def field() -> VaryingPsf:
    """From 3 pixels at the left to 4 at the right of 41 columns."""
    return VaryingPsf(torch.stack((NARROW, 2 * WIDE)), Grid((0.0,), (0.0, 40.0)), "field")


@given(st.floats(-50, 90), st.floats(-20, 60))
def test_weights_of_a_grid_add_up_to_one(y: float, x: float) -> None:
    grid = Grid((0.0, 10.0, 45.0), (-3.0, 20.0))
    weights = grid.weights(torch.tensor([y]), torch.tensor([x]))
    assert weights.shape == (6, 1, 1) and float(weights.min()) >= 0
    assert float(weights.sum()) == pytest.approx(1)


def test_weights_of_a_grid_are_bilinear() -> None:
    weights = Grid((0.0, 10.0), (0.0, 4.0)).weights(torch.tensor([2.5]), torch.tensor([3.0]))
    assert torch.allclose(weights.flatten(), torch.tensor([3, 9, 1, 3.0]).double() / 16)


def test_monomials_come_in_the_order_of_psfex() -> None:
    polynomial = Polynomial(2, zero=(1.0, 2.0), scale=(10.0, 4.0))
    u, v = (10.0 - 2) / 4, (21.0 - 1) / 10
    weights = polynomial.weights(torch.tensor([21.0]), torch.tensor([10.0])).flatten()
    assert weights.tolist() == pytest.approx([1, u, u * u, v, u * v, v * v])


def test_the_psf_has_sum_one_everywhere_and_is_that_of_its_place() -> None:
    psf = field()
    assert torch.allclose(psf.samples((5, 41)).sum(dim=(-2, -1)), torch.ones(16), atol=1e-5)
    assert torch.allclose(psf.at(2, 0), NARROW, atol=1e-6)
    assert torch.allclose(psf.at(2, 40), WIDE, atol=1e-6)
    moved = psf.moved((0, 40))
    assert torch.allclose(moved.at(0, 0), WIDE, atol=1e-6)
    weights = psf.weights((3, 41), margin=(1, 2))
    total = torch.einsum("kyx,k->yx", weights, psf.images.sum(dim=(-2, -1)))
    assert weights.shape == (2, 5, 45) and torch.allclose(total, torch.ones(5, 45), atol=1e-5)


def test_kernels_to_a_target_are_those_of_each_place() -> None:
    psf, kernel = field(), field().relative(2.0)
    for x in (0.0, 13.0, 40.0):
        expected = relative_kernel(psf.at(0, x), 2.0)
        assert torch.allclose(kernel.at(0, x), expected, atol=2e-4 * float(expected.max()))
    assert torch.equal(psf.relative(0.0).images, psf.images)


def test_what_is_no_psf_is_refused() -> None:
    with pytest.raises(ShapeError, match="odd"):
        VaryingPsf(torch.ones(2, 4, 5), Grid((0.0,), (0.0, 1.0)), "even")
    dark = VaryingPsf(torch.stack((WIDE, -WIDE)), Polynomial(0, (0, 0), (1, 1)), "dark")
    falling = VaryingPsf(torch.stack((WIDE, -WIDE)), Grid((0.0,), (0.0, 9.0)), "falling")
    with pytest.raises(DataError, match="no positive sum"):
        falling.weights((3, 10))
    with pytest.raises(DataError, match="NaN"):
        VaryingPsf(dark.images * torch.nan, dark.positions, "nan")
