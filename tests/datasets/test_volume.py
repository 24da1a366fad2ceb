"""A volume is its slices: the readout is found, the noise keeps its scale, nothing is lost."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rimaging.datasets.volume import from_slices, maps_as_slices, sampled_axis, to_slices
from rimaging.errors import DataError, ShapeError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.testing import shapes


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.complex128)


def scattered(size: tuple[int, ...], axis: int, seed: int = 0) -> Tensor:
    """A mask that varies along two axes, everything measured along the third."""
    plane = [length for i, length in enumerate(size, -3) if i != axis]
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.rand(plane, generator=generator) < 0.5).double()
    mask[0, 0], mask[-1, -1] = 1, 0
    return mask.unsqueeze(axis).expand(size)


@given(size=shapes(3, 2, 6), axis=st.sampled_from([-3, -2, -1]), seed=st.integers(0, 50))
def test_slices_are_the_three_dimensional_problem(size, axis, seed):
    mask, maps, image = scattered(size, axis, seed), draw(3, *size), draw(*size, seed=1)
    kspace = CartesianMRI(maps, mask, ndim=3)(image)
    slices, plane, found = to_slices(kspace, mask)
    # where chance left another axis fully sampled too, that one comes first
    assert found <= axis
    operator = CartesianMRI(maps_as_slices(maps, found), plane)
    seen = operator(image.movedim(found, 0))
    assert (slices - seen).norm() <= 1e-10 * kspace.norm()
    assert (from_slices(slices, found, transform=True) - kspace).norm() <= 1e-10 * kspace.norm()
    assert torch.equal(from_slices(image.movedim(found, 0), found), image)


@pytest.mark.parametrize("axis", [-3, -2, -1])
def test_the_readout_is_found_from_mask_or_zeros(axis):
    mask = scattered((6, 7, 8), axis)
    assert sampled_axis(mask) == axis
    kspace = draw(2, 6, 7, 8) * mask
    assert to_slices(kspace, None)[2] == axis
    assert torch.equal(to_slices(kspace, None)[1], to_slices(kspace, mask)[1])


def test_lines_leave_the_first_axis_as_slices():
    mask = (torch.arange(8) % 2).double()
    slices, plane, axis = to_slices(draw(2, 5, 6, 8) * mask, mask)
    assert axis == -3 and slices.shape == (5, 2, 6, 8)
    assert torch.equal(plane, mask.expand(6, 8))


def test_noise_keeps_its_scale():
    slices, _, _ = to_slices(draw(4, 16, 18, 20), None)
    assert float(slices.abs().square().mean()) == pytest.approx(1, rel=0.02)


def test_other_volumes_are_refused():
    with pytest.raises(ShapeError, match="volume"):
        to_slices(draw(2, 3, 8, 8, 8), None)
    with pytest.raises(ShapeError, match="mask"):
        to_slices(draw(2, 8, 8, 8), torch.ones(7))
    with pytest.raises(DataError, match="mask is 0"):
        to_slices(draw(2, 8, 8, 8), torch.arange(8) % 2)
    with pytest.raises(DataError, match="three axes"):
        generator = torch.Generator().manual_seed(0)
        sampled_axis(torch.rand(8, 8, 8, generator=generator) < 0.5)
