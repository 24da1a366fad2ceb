from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.errors import OptionError, ShapeError
from rimaging.operators.resampling import Bicubic, BlockMean, Edges, enlarge
from rimaging.testing import (
    assert_adjoint,
    assert_laws,
    assert_linear,
    assert_locality,
    assert_normal,
    assert_normal_diagonal,
    batches,
    dtypes,
    random_element,
    shapes,
)

SCALES = st.integers(1, 5)
EDGES = st.sampled_from(["replicate", "symmetric"])


@given(shape=shapes(), scale=SCALES, batch=batches(), edges=EDGES, dtype=dtypes(is_complex=False))
def test_laws_of_bicubic(
    shape: tuple[int, ...], scale: int, batch: tuple[int, ...], edges: Edges, dtype: torch.dtype
) -> None:
    """Any size, also smaller than the kernel and not a multiple of the scale."""
    operator = Bicubic(shape, scale, edges, dtype)
    assert operator.range.shape == tuple(-(-n // scale) for n in shape)
    assert_linear(operator, batch)
    assert_adjoint(operator, batch)
    assert_normal(operator, batch)
    assert_normal_diagonal(operator, batch)


@given(shape=shapes(min_size=10), scale=SCALES, batch=batches(), dtype=dtypes(is_complex=False))
def test_laws_of_block_mean(
    shape: tuple[int, ...], scale: int, batch: tuple[int, ...], dtype: torch.dtype
) -> None:
    assert_laws(BlockMean(shape, scale, dtype), batch)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_locality_of_bicubic(scale: int) -> None:
    assert_locality(Bicubic((9 * scale, 5), scale, dtype=torch.float64))


@given(shape=shapes(), scale=SCALES, edges=EDGES)
def test_a_constant_stays_constant(shape: tuple[int, ...], scale: int, edges: Edges) -> None:
    for operator in (Bicubic(shape, scale, edges), BlockMean(shape, scale)):
        coarse = operator(torch.full(shape, 3.0))
        torch.testing.assert_close(coarse, torch.full(operator.range.shape, 3.0))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_keeps_a_ramp_in_place(scale: int) -> None:
    """Away from the edges, a coarse pixel sits at the mean position of its fine pixels."""
    n = 12 * scale
    ramp = torch.arange(n, dtype=torch.float64).expand(n, n)
    coarse = Bicubic((n, n), scale, dtype=torch.float64)(ramp)[0, 3:-3]
    expected = (torch.arange(3, 9, dtype=torch.float64) + 0.5) * scale - 0.5
    torch.testing.assert_close(coarse, expected)


def test_block_mean_is_the_mean_of_blocks() -> None:
    x = random_element(BlockMean((6, 9), 3).domain, (2,))
    expected = torch.nn.functional.avg_pool2d(x, 3)
    torch.testing.assert_close(BlockMean((6, 9), 3)(x), expected)


def test_colour_and_single_scale() -> None:
    operator = Bicubic((3, 8, 6), 1)
    x = random_element(operator.domain)
    torch.testing.assert_close(operator(x), x)


def read(path: Path) -> torch.Tensor:
    from PIL import Image

    pixels = np.asarray(Image.open(path).convert("RGB"))
    return torch.from_numpy(pixels.astype(np.float64)).permute(2, 0, 1)


def to_8_bits(x: torch.Tensor) -> torch.Tensor:
    return torch.floor(x.clamp(0, 255) + 0.5)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_equals_matlab_bit_for_bit_on_set5(data_root: Path, scale: int) -> None:
    """MATLAB resizes 8-bit images rows first and rounds to 8 bits after each axis."""
    published = sorted((data_root / "natural" / "sr_lr" / f"set5_x{scale}").glob("*.png"))
    assert len(published) == 5
    for path in published:
        fine = read(data_root / "natural" / "set5_hr" / path.name)
        height, width = (n // scale * scale for n in fine.shape[-2:])
        operator = Bicubic((height, width), scale, dtype=torch.float64)
        rows = to_8_bits(operator.rows @ fine[:, :height, :width])
        assert torch.equal(to_8_bits(rows @ operator.columns.mT), read(path))


def test_refuses_what_is_not_downsampling() -> None:
    with pytest.raises(OptionError, match="whole number"):
        Bicubic((8, 8), 0)
    with pytest.raises(OptionError, match="replicate, symmetric"):
        Bicubic((8, 8), 2, "reflect")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="both spatial axes"):
        BlockMean((8,), 2)
    with pytest.raises(ShapeError, match=r"got \(8, 9\)"):
        BlockMean((8, 8), 2)(torch.zeros(8, 9))


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_enlarging_reproduces_planes_and_is_undone_by_sampling(scale: int) -> None:
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(7.0), indexing="ij")
    large = enlarge((2 * y - 3 * x).double(), scale)
    assert large.shape == (8 * scale, 7 * scale)
    rows = (torch.arange(8 * scale).double() + 0.5) / scale - 0.5
    columns = (torch.arange(7 * scale).double() + 0.5) / scale - 0.5
    inner = (slice(2 * scale, -2 * scale),) * 2
    plane = 2 * rows[:, None] - 3 * columns
    assert torch.allclose(large[inner], plane[inner])
    if scale % 2:
        assert torch.allclose(
            large[scale // 2 :: scale, scale // 2 :: scale], (2 * y - 3 * x).double()
        )
