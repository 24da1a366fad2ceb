"""The calibration region is the largest full block around zero frequency, and nothing else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.datasets.simulate.masks import poisson_disc, random_points
from rimaging.errors import DataError, ShapeError
from rimaging.operators.calibration import calibration_block, calibration_shape


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    holes=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=4),
    limit=st.integers(1, 10),
)
def test_shape_is_that_of_the_largest_full_centred_block(shape, holes, limit):
    mask = torch.ones(shape, dtype=torch.bool)
    for y, x in holes:
        mask[y % shape[0], x % shape[1]] = False

    def full(height, width):
        top, left = shape[0] // 2 - height // 2, shape[1] // 2 - width // 2
        return bool(mask[top : top + height, left : left + width].all())

    sizes = [
        (height, width)
        for height in range(1, min(limit, shape[0]) + 1)
        for width in range(1, min(limit, shape[1]) + 1)
        if full(height, width)
    ]
    height, width = calibration_shape(mask, limit)
    assert height * width == max((h * w for h, w in sizes), default=0)
    assert not sizes or (height, width) in sizes


def test_lines_give_a_long_block():
    mask = torch.zeros(64, 48, dtype=torch.bool)
    mask[:, 24 - 4 : 24 + 4] = True
    mask[:, ::5] = True
    assert calibration_shape(mask, 24) == (24, 8)


@pytest.mark.parametrize("kept", [40, 44, 64])
def test_partial_fourier_has_a_block_as_wide_as_both_sides_allow(kept):
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[:, :kept] = True
    # columns 32 - w//2 ... 32 - w//2 + w - 1 <= kept - 1
    assert calibration_shape(mask, 64) == (64, 2 * (kept - 32))


def test_poisson_discs_and_points_show_their_block():
    for width in (12, 20):
        poisson = poisson_disc((64, 48), 6, width, 1.0, seed=1)
        points = random_points((64, 48), 6, width, torch.Generator().manual_seed(0))
        for mask in (poisson, points):
            height, wide = calibration_shape(mask, 30)
            assert width <= height <= width + 3 and width <= wide <= width + 3


def test_block_found_in_kspace_equals_the_block_of_its_mask(generator):
    mask = torch.zeros(40, 31, dtype=torch.bool)
    mask[20 - 6 : 20 + 6, 15 - 7 : 15 + 8] = True
    kspace = torch.randn(3, 40, 31, dtype=torch.complex64, generator=generator) * mask
    block = calibration_block(kspace, None, 24)
    assert torch.equal(block, kspace[:, 14:26, 8:23])
    assert torch.equal(block, calibration_block(kspace, mask, 24))
    assert torch.equal(block, calibration_block(kspace, None, (12, 15)))


def test_refuses_what_it_cannot_use():
    kspace = torch.ones(2, 16, 16, dtype=torch.complex64)
    with pytest.raises(ShapeError, match=r"\(20, 8\) does not fit into k-space \(16, 16\)"):
        calibration_block(kspace, None, (20, 8))
    with pytest.raises(DataError, match="empty or not finite"):
        calibration_block(torch.zeros_like(kspace), None, 24)
    kspace[0, 8, 8] = torch.nan
    with pytest.raises(DataError, match="empty or not finite"):
        calibration_block(kspace, None, 24)
    with pytest.raises(ShapeError, match="expects a mask"):
        calibration_shape(torch.ones(2, 3, 4), 24)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
