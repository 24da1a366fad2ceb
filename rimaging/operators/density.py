"""Density compensation: the area of k-space that each sample stands for.

Weights are in cells of the Cartesian grid (one cycle per field of view along each axis), so that
they are one on the full grid and ``A* D A`` is close to the identity wherever k-space was sampled
at Nyquist's rate. They make a gridded image; least-squares methods need none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rimaging.errors import DataError, ShapeError
from rimaging.operators.kaiser_bessel import grid_shape, interpolation, kernel_shape, sparse
from rimaging.operators.kaiser_bessel import transposed as transposed_entries
from rimaging.operators.nufft import checked_trajectory

__all__ = ["in_cells", "pipe_menon", "ramp", "voronoi"]

WIDTH = 5
OVERSAMPLING = 2.0


def ramp(trajectory: Tensor, shape: Sequence[int]) -> Tensor:
    """Spokes through the middle: ``w = N |t| dt da``, the area of a sector, ``(shot, sample)``.

    ``t = |k / n|``, ``dt`` the spacing along a spoke, ``da`` half of the angle between a spoke's
    two neighbours. The samples in the middle share the disc of diameter ``dt``.

    Args:
        trajectory: ``(shot, sample, 2)``, straight lines of equal steps through zero.
        shape: of the image, ``(y, x)``.

    Raises ShapeError for other axes, DataError for shots that are no spokes.
    """
    k = checked_trajectory(trajectory, tuple(shape), "ramp")
    if k.ndim != 3 or k.shape[-1] != 2 or k.shape[1] < 2:
        raise ShapeError(
            f"ramp expects spokes (shot, sample, 2), got {tuple(k.shape)}: use pipe_menon"
        )
    k = k / k.new_tensor(tuple(shape))
    step = k[:, 1:] - k[:, :-1]
    spacing = step.norm(dim=-1).mean(dim=1, keepdim=True)
    radius = k.norm(dim=-1)
    straight = bool(((step - step.mean(dim=1, keepdim=True)).norm(dim=-1) < 1e-3 * spacing).all())
    central = bool((radius.amin(dim=1, keepdim=True) <= 0.51 * spacing).all())
    if not straight or not central:
        raise DataError("ramp is for straight spokes through the middle: use pipe_menon or voronoi")
    direction = step.mean(dim=1)
    angle = torch.atan2(direction[:, 0], direction[:, 1]).remainder(math.pi)
    order = angle.argsort()
    gaps = angle[order].roll(-1) - angle[order]
    gaps[-1] += math.pi
    share = torch.empty_like(angle)
    share[order] = (gaps + gaps.roll(1)) / 2
    area = radius * spacing * share[:, None]
    middle = math.pi * (spacing / 2).square() / len(k)
    return torch.where(radius < 0.5 * spacing, middle, area) * math.prod(shape)


def pipe_menon(trajectory: Tensor, shape: Sequence[int], iterations: int = 30) -> Tensor:
    """Weights that a local blur turns into one: ``w <- w / (C C^T w)``, ``(*batch, sample)``.

    ``C`` interpolates from a grid by a Kaiser-Bessel kernel that is two and a half cycles wide. It
    fits any trajectory; leading axes of ``(*batch, sample, 2|3)`` are flattened into one cloud of
    samples, so that shots count together.

    Raises as `rimaging.operators.nufft.NUFFT`.

    Source: Pipe & Menon (1999), Magn. Reson. Med. 41, 179.
    """
    sizes = tuple(shape)
    k = checked_trajectory(trajectory, sizes, "pipe_menon")
    points = k.reshape(1, -1, k.shape[-1])
    beta = kernel_shape(WIDTH, OVERSAMPLING)
    grid = grid_shape(sizes, OVERSAMPLING, WIDTH)
    rows, columns, values = interpolation(points, sizes, grid, WIDTH, beta)
    size = (points.shape[1], math.prod(grid))
    gather = sparse(rows, columns, values.abs(), size)
    spread = sparse(*transposed_entries(rows, columns, values.abs(), size))
    full = math.prod(_overlap(n, g, beta) for n, g in zip(sizes, grid, strict=True))
    weight = points.new_ones(points.shape[1], 1)
    for _ in range(iterations):
        weight = weight / (gather @ (spread @ weight)) * full
    return weight.reshape(k.shape[:-1])


def in_cells(density: Tensor, trajectory: Tensor, shape: Sequence[int]) -> Tensor:
    """Weights of any scale, as files have them, brought to cells of the grid.

    The factor makes their sum equal to that of `pipe_menon` over the samples that lie closer than
    Nyquist asks for, where areas are certain (over all samples, where there are none).
    """
    known = pipe_menon(trajectory, shape)
    dense = (known < 0.8) & (density > 0)
    dense = dense if bool(dense.any()) else density > 0
    return density * (known[dense].sum() / density.to(known)[dense].sum()).to(density)


def _overlap(n: int, cells: int, beta: float) -> float:
    """The mean of ``C C^T`` times one along an axis that is sampled once in a cycle."""
    line = (torch.arange(n, dtype=torch.float64) - n // 2).reshape(1, n, 1)
    rows, columns, values = interpolation(line, (n,), (cells,), WIDTH, beta)
    matrix = torch.zeros(n, cells, dtype=torch.float64)
    matrix.index_put_((rows, columns), values.abs(), accumulate=True)
    return float((matrix.sum(dim=0).square()).sum() / n)


def voronoi(trajectory: Tensor, shape: Sequence[int]) -> Tensor:
    """The area of each sample's Voronoi cell, ``(*batch, sample)``, on the CPU.

    Samples at one place share their cell. A cell that reaches beyond the convex hull of all samples
    has the area of the nearest one that does not. Leading axes are flattened as in `pipe_menon`.

    Raises DataError where all samples lie on one line; further as `NUFFT`.

    Source: Rasche et al. (1999), IEEE Trans. Med. Imaging 18, 385.
    """
    k = checked_trajectory(trajectory, tuple(shape), "voronoi")
    points = k.reshape(-1, k.shape[-1]).cpu().numpy()
    unique, inverse, counts = np.unique(
        points.round(9), axis=0, return_inverse=True, return_counts=True
    )
    area = _cells(unique) / counts
    weights = torch.from_numpy(area[inverse.reshape(-1)])
    return weights.reshape(k.shape[:-1]).to(k.device)


def _cells(points: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.spatial import ConvexHull, QhullError, Voronoi, cKDTree

    try:
        diagram = Voronoi(points)
        hull = ConvexHull(points)
    except (QhullError, ValueError):
        raise DataError(
            f"voronoi got {len(points)} different samples on one line, or too few: use pipe_menon"
        ) from None
    margin = 1e-6 * float(np.abs(points).max())
    inside = np.ones(len(diagram.vertices), dtype=bool)
    for plane in hull.equations:
        inside &= diagram.vertices @ plane[:-1] + plane[-1] <= margin
    regions = [diagram.regions[region] for region in diagram.point_region]
    whole = [bool(r) and min(r) >= 0 and all(inside[r]) for r in regions]
    kept = np.flatnonzero(whole)
    area = np.full(len(points), np.nan)
    if points.shape[1] == 2:
        area[kept] = _polygons(diagram.vertices, [regions[i] for i in kept], points[kept])
    else:
        area[kept] = [ConvexHull(diagram.vertices[regions[i]]).volume for i in kept]
    known = np.isfinite(area)
    if not known.any():
        raise DataError("voronoi found no cell within the samples: use pipe_menon for so few")
    nearest = cKDTree(points[known]).query(points[~known])[1]
    area[~known] = area[known][nearest]
    return area


def _polygons(
    vertices: NDArray[np.float64], regions: list[list[int]], centres: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Areas of convex cells around their centres, by the shoelace formula."""
    if not regions:
        return np.zeros(0)
    sizes = np.array([len(region) for region in regions])
    owner = np.repeat(np.arange(len(regions)), sizes)
    corner = vertices[np.concatenate(regions)] - centres[owner]
    corner = corner[np.lexsort((np.arctan2(corner[:, 0], corner[:, 1]), owner))]
    first = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    following = np.arange(1, len(corner) + 1)
    following[first + sizes - 1] = first
    cross = corner[:, 1] * corner[following, 0] - corner[following, 1] * corner[:, 0]
    areas: NDArray[np.float64] = 0.5 * np.add.reduceat(cross, first)
    return areas
