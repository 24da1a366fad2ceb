"""The calibration region: the fully sampled middle of k-space."""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.errors import DataError, ShapeError

__all__ = ["calibration_block", "calibration_shape"]


def calibration_block(kspace: Tensor, mask: Tensor | None, size: int | tuple[int, int]) -> Tensor:
    """Take the calibration region of k-space (coil, y, x): (coil, height, width).

    An int finds the largest centred, fully sampled block, at most so wide, by the mask (y, x) or,
    without one, by which samples are not zero in every coil; a pair takes exactly that block.

    Raises ShapeError when a given block is larger than k-space; DataError when nothing was measured
    in the middle, or NaN.
    """
    ny, nx = kspace.shape[-2:]
    if isinstance(size, int):
        middle = _centre(kspace, min(size, ny), min(size, nx))
        if mask is None:
            mask = (middle != 0).any(0)
        size = calibration_shape(mask, size)
    elif not (0 < size[0] <= ny and 0 < size[1] <= nx):
        raise ShapeError(
            f"The calibration region {size} does not fit into k-space ({ny}, {nx}): "
            "give a smaller one."
        )
    block = _centre(kspace, *size)
    if not bool(torch.isfinite(torch.view_as_real(block)).all()) or not bool((block != 0).any()):
        raise DataError(
            f"The middle of k-space, {size} around ({ny // 2}, {nx // 2}), is empty or not finite: "
            "check that zero frequency is there, and that it was measured."
        )
    return block


def calibration_shape(mask: Tensor, limit: int) -> tuple[int, int]:
    """Find the largest centred, fully sampled block of a mask (y, x), at most `limit` on a side.

    A block of n samples covers the indices N//2 - n//2 ... N//2 - n//2 + n - 1 of its axis of N, as
    the centred FFT puts zero frequency at N//2. Largest means of greatest area, so lines along one
    axis give a long block. Returns (height, width); (0, 0) where the centre was not measured.

    Raises ShapeError for a mask that has not two axes.
    """
    if mask.ndim != 2:
        raise ShapeError(
            f"calibration_shape expects a mask (y, x), got {tuple(mask.shape)}: pass one mask."
        )
    # Sorted by the smallest block that holds them, the lines of a centred block come first: block
    # (h, w) is full when rows < h and columns < w of the sorted mask are, a cumulative product.
    rows, columns = (_outwards(length)[:limit].to(mask.device) for length in mask.shape)
    full = mask.bool()[rows][:, columns].int().cumprod(0).cumprod(1)
    heights = torch.arange(1, len(rows) + 1, device=mask.device)
    widths = torch.arange(1, len(columns) + 1, device=mask.device)
    area = full * heights[:, None] * widths
    best = int(area.argmax())
    if not area.flatten()[best]:
        return 0, 0
    return best // len(columns) + 1, best % len(columns) + 1


def _centre(values: Tensor, height: int, width: int) -> Tensor:
    top, left = values.shape[-2] // 2 - height // 2, values.shape[-1] // 2 - width // 2
    return values[..., top : top + height, left : left + width]


def _outwards(length: int) -> Tensor:
    """Indices of an axis by distance from its centre: c, c-1, c+1, c-2, ..."""
    offset = torch.arange(length) - length // 2
    return torch.where(offset < 0, -2 * offset, 2 * offset + 1).argsort()
