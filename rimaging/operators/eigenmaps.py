"""The leading eigenvectors of a band-limited field at every pixel, mostly by interpolation.

Where an eigenvalue stands alone its eigenvector is as smooth as the field. So:

1. a grid of about four nodes per lag is decomposed exactly, whatever the size of the image;
2. between the nodes, eigenvectors come from six-point Lagrange interpolation; its difference from
   four points tells the cells where eigenvalues meet and this fails;
3. there, at each pixel, Rayleigh-Ritz on the interpolated span of the two leading eigenvectors,
   which stays smooth when these two meet; the residual tells where that fails as well;
4. the few pixels left are decomposed exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.operators.band_limited import BandLimitedField, pixels
from rimaging.operators.eigenvector_interpolation import BEFORE, STENCIL, EigenvectorInterpolation

__all__ = ["eigenmaps"]

_NODES_PER_LAG = 4
_MARGIN = 0.05  # nodes so far below the floor have no pixel above it around them
_ENTRIES = 1 << 20  # matrix entries held at once


def eigenmaps(
    field: BandLimitedField, sets: int, floor: float, tolerance: float
) -> tuple[Tensor, Tensor]:
    """Find the `sets` (1 or 2) leading eigenvalues and eigenvectors of a field at every pixel.

    Args:
        field: the matrices (n, n), eigenvalues in 0..1.
        sets: how many, largest eigenvalue first.
        floor: an eigenvector whose eigenvalue lies below it need not be right.
        tolerance: error of an eigenvector of unit length; 0 decomposes every pixel exactly.

    Returns:
        vectors (set, n, y, x), of any phase and nearly unit length, and values (set, y, x).

    """
    (ny, nx), device = field.image, field.lags.device
    per_axis = _NODES_PER_LAG * field.lags.shape[0]
    step = (max(1, ny // per_axis), max(1, nx // per_axis))
    if tolerance <= 0 or step == (1, 1) or field.size < 3:
        y, x = pixels(torch.arange(ny, device=device), torch.arange(nx, device=device))
        values, vectors = _decompose(field, y, x)
        maps = vectors[:, :sets].permute(1, 2, 0).reshape(sets, -1, ny, nx)
        return maps, values[:, :sets].mT.reshape(sets, ny, nx)

    cells = (-(-ny // step[0]), -(-nx // step[1]))
    nodes = [
        (torch.arange(count + STENCIL - 1, device=device) - BEFORE) * width
        for count, width in zip(cells, step, strict=True)
    ]
    values, vectors = (
        node.unflatten(0, (len(nodes[0]), len(nodes[1])))
        for node in _decompose(field, *pixels(nodes[0], nodes[1]))
    )
    highest = torch.nn.functional.max_pool2d(values.movedim(-1, 0), STENCIL, 1)

    between = EigenvectorInterpolation(step, field.lags.dtype, device)
    maps = torch.empty(sets, field.size, ny, nx, dtype=vectors.dtype, device=device)
    spectrum = torch.empty(sets, ny, nx, dtype=values.dtype, device=device)
    rough = torch.zeros(cells, dtype=torch.bool, device=device)
    cell_y, cell_x = pixels(*(torch.arange(count, device=device) for count in cells))
    for one in range(sets):
        near = between.aligned(vectors[..., one : one + 1, :], cell_y, cell_x)
        level = between.stencil(values[..., one : one + 1], cell_y, cell_x)
        failed = between.error(near).maximum(between.error(level)) > tolerance
        top = highest[one].flatten()[:, None]
        # What failed in the background stays there: it must not overshoot the floor.
        level = torch.where(failed[:, None], between(level).minimum(top), between(level))
        maps[one] = _join(between(near)[:, :, 0], step, cells)[:, :ny, :nx]
        spectrum[one] = _join(level, step, cells)[0, :ny, :nx]
        rough |= failed.view(cells) & (highest[one] > floor - _MARGIN)

    cell_y, cell_x = rough.nonzero(as_tuple=True)
    chunk = max(1, _ENTRIES // (field.size**2 * step[0] * step[1]))
    for part_y, part_x in zip(torch.split(cell_y, chunk), torch.split(cell_x, chunk), strict=True):
        span = between(between.aligned(vectors[..., :2, :], part_y, part_x)).flatten(0, 1)
        rest = highest[2, part_y, part_x].repeat(step[0] * step[1])
        y, x = (at.flatten() for at in between.pixels_of(part_y, part_x))
        inside = (y < ny) & (x < nx)
        y, x = y[inside], x[inside]
        value, vector, error = _rayleigh_ritz(field(y, x), span[inside], rest[inside])
        needed = value[:, :sets] > floor - _MARGIN
        failed = (~(error[:, :sets] <= tolerance) & needed).any(1)  # an unknown error, NaN, fails
        value[failed], vector[failed] = (
            exact[:, :2] for exact in _decompose(field, y[failed], x[failed])
        )
        spectrum[:, y, x] = value[:, :sets].mT
        maps[:, :, y, x] = vector[:, :sets].permute(1, 2, 0)
    return maps, spectrum


def _decompose(field: BandLimitedField, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the three leading eigenvalues (p, 3) and eigenvectors (p, 3, n) at pixels, exactly."""
    values, vectors = [], []
    chunk = max(1, _ENTRIES // field.size**2)
    for part_y, part_x in zip(torch.split(y, chunk), torch.split(x, chunk), strict=True):
        value, vector = torch.linalg.eigh(field(part_y, part_x))
        values.append(value[..., -3:].flip(-1))
        vectors.append(vector[..., -3:].flip(-1).mT)
    return torch.cat(values), torch.cat(vectors)


def _rayleigh_ritz(matrices: Tensor, span: Tensor, rest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find two leading eigenvectors of matrices (p, n, n) near a span (p, 2, n).

    Two power iterations draw the span towards them, Rayleigh-Ritz tells them apart, a third one
    polishes. Before it, the error of a vector is at most the residual over its distance from the
    third eigenvalue `rest` (p,), and unknown where that is not below; it shrinks by rest / value.
    Returns values (p, 2), vectors (p, 2, n), errors (p, 2).
    """
    first, second = (span @ matrices.mT @ matrices.mT).unbind(1)
    first = _unit(first)
    second = _unit(second - first * torch.linalg.vecdot(first, second)[:, None])
    basis = torch.stack([first, second], 1)
    image = basis @ matrices.mT
    # A Hermitian 2 x 2 matrix has the eigenvectors (p, q) and (-q*, p*) in closed form.
    small = image @ basis.mH
    residual = _norm((image - small @ basis).flatten(1))
    mean = (small[:, 0, 0].real + small[:, 1, 1].real) / 2
    half = (small[:, 0, 0].real - small[:, 1, 1].real) / 2
    radius = torch.hypot(half, small[:, 0, 1].abs())
    p = torch.where(half >= 0, half + radius, small[:, 1, 0])
    q = torch.where(half >= 0, small[:, 0, 1], radius - half)
    length = torch.hypot(p.abs(), q.abs())
    equal = length == 0
    p, q = torch.where(equal, 1, p / length), torch.where(equal, 0, q / length)
    turn = torch.stack([torch.stack([p, q], -1), torch.stack([-q.conj(), p.conj()], -1)], -2)
    values = torch.stack([mean + radius, mean - radius], -1)
    gap, shrink = values - rest[:, None], rest[:, None] / values
    error = torch.where(gap > 0, shrink * residual[:, None] / gap, torch.inf)
    return values, turn @ image, error


def _unit(vectors: Tensor) -> Tensor:
    """Vectors (p, n) of length one; zero stays zero: matrices of rank one draw a span to a line."""
    length = _norm(vectors)[:, None]
    return vectors / torch.where(length > 0, length, 1)


def _norm(vectors: Tensor) -> Tensor:
    """Lengths (p,) of complex vectors (p, n); torch's own takes a slow hypot of every entry."""
    length: Tensor = torch.linalg.vector_norm(torch.view_as_real(vectors).flatten(1), dim=1)
    return length


def _join(cell_pixels: Tensor, step: tuple[int, int], cells: tuple[int, int]) -> Tensor:
    """Lay the pixels of all cells (pixel of the cell, cell, n) side by side: (n, y, x)."""
    grid = cell_pixels.view(*step, *cells, -1).permute(4, 2, 0, 3, 1)
    return grid.flatten(3).flatten(1, 2)
