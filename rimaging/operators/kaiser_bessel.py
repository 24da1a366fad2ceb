"""Kaiser-Bessel interpolation between an oversampled grid and samples anywhere."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor


def kernel_shape(width: int, oversampling: float) -> float:
    """``beta = pi sqrt((W/alpha)^2 (alpha - 1/2)^2 - 0.8)``, the best for a width of ``W`` cells.

    Source: Beatty, Nishimura & Pauly (2005), IEEE Trans. Med. Imaging 24, 799, equation 5.
    """
    return math.pi * math.sqrt((width / oversampling * (oversampling - 0.5)) ** 2 - 0.8)


def kernel_width(tolerance: float, oversampling: float) -> int:
    """The fewest cells, 4 or more, whose kernel errs by less than ``tolerance``.

    The error falls as ``exp(-pi W sqrt(1 - 1/alpha))``; one more cell makes up for its constant.
    """
    decay = math.pi * math.sqrt(1 - 1 / oversampling)
    return max(4, math.ceil(-math.log(tolerance) / decay) + 1)


def grid_shape(shape: Sequence[int], oversampling: float, width: int) -> tuple[int, ...]:
    """Even sizes, at least ``oversampling`` times the image and wide enough for the kernel."""
    return tuple(smooth_size(max(math.ceil(oversampling * n), width + 1)) for n in shape)


def smooth_size(least: int) -> int:
    """The smallest even size from ``least`` on without prime factors above 5: a fast FFT."""
    size = least + least % 2
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 2


def apodisation(n: int, grid: int, width: int, beta: float) -> Tensor:
    """One over the transform of the kernel at the pixels of an axis of ``n``, float64, ``(n,)``.

    ``phi^(f) = e^-beta W sinh(s) / s``, ``s = sqrt(beta^2 - (pi W f)^2)`` at ``f = r / G``.
    """
    r = (torch.arange(n, dtype=torch.float64) - n // 2) / grid
    s = (beta**2 - (math.pi * width * r).square()).sqrt()
    return math.exp(beta) * s / (width * torch.sinh(s))


def interpolation(
    trajectory: Tensor, shape: Sequence[int], grid: Sequence[int], width: int, beta: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, columns and values of the matrix from a grid to samples.

        C_ig = prod_d (-1)^g_d phi(k_id G_d / n_d - g_d)
        phi(u) = e^-beta I0(beta sqrt(1 - (2u/W)^2))

    The sign moves the origin of the image from the corner to ``G // 2``, so that no FFT needs a
    shift. ``trajectory (item, sample, axis)`` is in cycles per field of view; items have their own
    blocks of rows and columns. Entries are sorted by row, float64.
    """
    items, count, axes = trajectory.shape
    trajectory = trajectory.to(torch.float64)
    device = trajectory.device
    offsets = torch.arange(width, device=device)
    total: Tensor = torch.ones(items, count, 1, dtype=torch.float64, device=device)
    column = torch.arange(items, device=device).reshape(-1, 1, 1).expand(items, count, 1)
    for axis in range(axes):
        cells, n = grid[axis], shape[axis]
        position = trajectory[..., axis, None] * (cells / n)
        first = torch.ceil(position - width / 2)
        index = first + offsets
        root = (1 - (2 * (position - index) / width).square()).clamp_min(0).sqrt()
        weight = torch.special.i0e(beta * root) * torch.exp(beta * (root - 1))
        index = index.to(torch.int64)
        weight = torch.where(index % 2 == 0, weight, -weight)
        total = (total.unsqueeze(-1) * weight.unsqueeze(-2)).flatten(-2)
        column = (column.unsqueeze(-1) * cells + (index % cells).unsqueeze(-2)).flatten(-2)
    row = torch.arange(items * count, device=device)[:, None].expand(-1, width**axes)
    return row.flatten(), column.flatten(), total.flatten()


def sparse(rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """A compressed sparse matrix from entries that are sorted by row."""
    counts = torch.bincount(rows, minlength=shape[0])
    compressed = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
    index = torch.int32 if max(*shape, len(values)) < 2**31 else torch.int64
    with warnings.catch_warnings():  # torch calls its compressed matrices a beta at the first one
        warnings.filterwarnings("ignore", message="Sparse")
        return torch.sparse_csr_tensor(
            compressed.to(index), columns.to(index), values, shape, check_invariants=False
        )


def transposed(
    rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor, tuple[int, int]]:
    """The same entries as those of the transpose, sorted by its rows."""
    order = torch.argsort(columns, stable=True)
    return columns[order], rows[order], values[order], (shape[1], shape[0])
