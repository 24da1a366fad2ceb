"""The middle of non-Cartesian k-space on the Cartesian grid, for the calibration of coils."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rimaging.errors import DataError
from rimaging.operators.calibration import calibration_shape
from rimaging.operators.density import pipe_menon
from rimaging.operators.fourier import centred_fft
from rimaging.operators.nufft import NUFFT, checked_trajectory
from rimaging.operators.toeplitz import Toeplitz

__all__ = ["grid_centre", "visited"]

MARGIN = 6
"""Cycles around the block that are solved for with it, and left away: its edge is uncertain."""

DAMPING = 1e-3
"""Of the least squares, relative to a fully sampled k-space."""


def grid_centre(
    kspace: Tensor, trajectory: Tensor, shape: Sequence[int], side: int = 24
) -> tuple[Tensor, Tensor]:
    """A block in the middle of Cartesian k-space ``(coil, y, x)``, else zero, and its mask.

        z = argmin sum_i w_i |y_i - (F_k z)_i|^2 + 1e-3 |z|^2,   block = F z

    over an image ``z`` of as few, large pixels as the block has samples, with the samples ``i``
    that lie within the block and the area ``w_i`` that each stands for. The block is the largest,
    at most ``side`` wide, every cell of whose grid has a sample in or beside it.

    Args:
        kspace: complex ``(coil, shot, sample)``. trajectory: ``(shot, sample, 2)`` in cycles per
            field of view. shape: of the image, ``(y, x)``. side: the largest width.

    Raises DataError where the middle was not sampled; further as `NUFFT`.
    """
    sizes = tuple(shape)
    k = checked_trajectory(trajectory, sizes, "grid_centre").flatten(0, -2)
    block = calibration_shape(visited(k, sizes), side)
    if min(block) < 1:
        raise DataError("the middle of k-space was not sampled: give the coil maps")
    coarse = tuple(min(n, b + MARGIN) for n, b in zip(sizes, block, strict=True))
    inside = (k.abs() <= k.new_tensor(coarse) / 2).all(dim=-1)
    k, y = k[inside], kspace.flatten(-2)[..., inside].to(torch.complex128)
    weight = pipe_menon(k, coarse)
    normal = Toeplitz(k, coarse, weight, torch.complex128)
    matrix = normal.matrix()
    matrix.diagonal().add_(DAMPING)
    right = NUFFT(k, coarse, dtype=torch.complex128).adjoint(weight * y).flatten(1)
    factor = torch.linalg.cholesky(matrix)
    z = torch.cholesky_solve(right.mT, factor).mT.reshape(-1, *coarse)
    centre = _middle(centred_fft(z), block)
    whole = kspace.new_zeros((*kspace.shape[:-2], *sizes))
    mask = torch.zeros(sizes, device=kspace.device)
    _middle(whole, block).copy_(centre)
    _middle(mask, block).fill_(1)
    return whole, mask


def visited(trajectory: Tensor, shape: Sequence[int]) -> Tensor:
    """The cells of the Cartesian grid, ``(y, x)``, that have a sample in them or beside them."""
    points = trajectory.reshape(-1, trajectory.shape[-1]).round().to(torch.int64)
    rows, columns = (points[:, d] + n // 2 for d, n in enumerate(shape))
    good = (rows >= 0) & (columns >= 0) & (rows < shape[0]) & (columns < shape[1])
    hit = torch.zeros(tuple(shape), device=trajectory.device)
    hit[rows[good], columns[good]] = 1
    return torch.nn.functional.max_pool2d(hit[None], 3, stride=1, padding=1)[0] > 0


def _middle(values: Tensor, block: tuple[int, int]) -> Tensor:
    top, left = (n // 2 - b // 2 for n, b in zip(values.shape[-2:], block, strict=True))
    return values[..., top : top + block[0], left : left + block[1]]
