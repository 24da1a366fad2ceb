"""Units cover the image once; what is local is the same in tiles and as a whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rimaging.errors import OptionError, ShapeError
from rimaging.mosaic.generated import box_blur
from rimaging.mosaic.task import planes_of
from rimaging.mosaic.tiles import Grid, aligned, choose_unit

SIZES = st.integers(1, 70)
GRIDS = st.builds(
    lambda shape, unit, halo: Grid(shape, unit, halo),
    st.tuples(st.integers(1, 4), SIZES, SIZES),
    st.tuples(st.integers(1, 3), st.sampled_from([8, 16, 24, 80]), st.sampled_from([8, 32, 72])),
    st.sampled_from([0, 8, 16, 40]),
)


@given(GRIDS)
def test_every_pixel_belongs_to_one_unit(grid: Grid) -> None:
    count = np.zeros(grid.shape, int)
    read = 0
    for index, unit in enumerate(grid):
        assert unit == grid[index] and unit.index == index
        count[unit.core] += 1
        block = np.zeros(grid.shape, bool)
        block[unit.block] = True
        assert (
            block[unit.core].all() and np.zeros(unit.block_shape)[unit.inside].shape == unit.shape
        )
        read += int(block.sum())
    assert (count == 1).all()
    assert grid.amplification == pytest.approx(read / grid.pixels)


@given(GRIDS, st.integers(0, 4))
def test_with_a_halo_as_wide_as_a_function_reaches_tiles_equal_the_whole(
    grid: Grid, radius: int
) -> None:
    if grid.halo < radius:
        return
    image = np.random.default_rng(grid.pixels).normal(size=grid.shape).astype(np.float32)
    process = box_blur({"radius": radius})
    whole = np.asarray(process(image, Grid(grid.shape, grid.shape, 0)[0]))
    tiled = np.full(grid.shape, np.nan, np.float32)
    for unit in grid:
        tiled[unit.core] = planes_of(process(image[unit.block], unit), unit, ("image",))["image"]
    assert np.allclose(tiled, whole, rtol=0, atol=1e-6)


@given(st.tuples(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 5000)))
def test_units_have_about_as_many_pixels_whatever_the_shape(shape: tuple[int, int, int]) -> None:
    unit = choose_unit(shape, 1024)
    assert unit[0] <= shape[0] and unit[1] % 8 == unit[2] % 8 == 0
    assert unit[0] * unit[1] * unit[2] <= 1024**2
    full = unit[0] == shape[0] or 2 * unit[0] * unit[1] * unit[2] > 1024**2
    assert full and Grid(shape, unit, 8).counts[1] == -(-shape[1] // unit[1])


def test_what_is_no_grid_is_refused() -> None:
    with pytest.raises(OptionError, match="multiple of 8"):
        Grid((1, 100, 100), (1, 50, 48), 8)
    with pytest.raises(OptionError, match="halo"):
        Grid((1, 100, 100), (1, 48, 48), 5)
    with pytest.raises(ShapeError, match="above 0"):
        Grid((0, 100, 100), (1, 48, 48), 8)
    with pytest.raises(OptionError, match="no unit 9"):
        Grid((1, 100, 100), (1, 48, 48), 8)[9]
    assert aligned(1) == 8 and aligned(16) == 16
