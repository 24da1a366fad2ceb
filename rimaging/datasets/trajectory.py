"""Non-Cartesian k-space: a trajectory and its data brought into one shape, and their noise."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.nufft import checked_trajectory

__all__ = ["estimate_trajectory_noise", "fit_trajectory", "resolved_matrix", "with_shots"]

PER_PIXEL = 0.501
"""No trajectory in cycles per field of view ends so near: these are cycles per pixel."""


RADIANS = (0.98 * math.pi, 1.001 * math.pi)
"""A trajectory that ends there is in radians per pixel, as of finufft and torchkbnufft: in cycles
per field of view it would be that of an image of six or seven pixels."""


Fitted = tuple[Tensor, Tensor | None, tuple[int, ...] | None]


def with_shots(kspace: Tensor, trajectory: Tensor) -> tuple[Tensor, Tensor]:
    """k-space (..., coil, shot, sample) of a trajectory (..., shot, sample, 2|3), or with one shot.

    Data without an axis of shots, (..., coil, sample) with (sample, 2|3), get one of length one.
    """
    if trajectory.ndim == 2 and kspace.ndim >= 2 and kspace.shape[-1] == trajectory.shape[0]:
        return kspace.unsqueeze(-2), trajectory.unsqueeze(-3)
    return kspace, trajectory


def fit_trajectory(
    kind: str,
    data: Tensor,
    mask: Tensor | None,
    trajectory: Tensor | None,
    density: Tensor | None,
    matrix: tuple[int, ...] | None,
    maps: Tensor | None = None,
) -> Fitted:
    """Trajectory, density and matrix of data (..., coil, shot, sample), checked against each other.

    Without ``matrix`` the image is that of the maps, else it has twice as many pixels along an axis
    as the trajectory goes out. A trajectory within 0.5 is in cycles per pixel: it is brought to
    cycles per field of view with the matrix, and left as it is, with None, where there is none.

    Raises ShapeError, DataError and OptionError that say what does not fit.
    """
    if trajectory is None:
        raise OptionError(
            "density and matrix (image_shape) belong to a trajectory: give trajectory= too."
        )
    if kind != "kspace":
        raise OptionError(f"a trajectory given to {kind} data: only k-space has one.")
    if mask is not None:
        raise OptionError(
            "a mask given with a trajectory: leave out the samples that were not measured."
        )
    samples = tuple(data.shape[-2:])
    batch = tuple(data.shape[:-3])
    if trajectory.ndim < 3 or tuple(trajectory.shape[-3:-1]) != samples:
        raise ShapeError(
            f"the trajectory has shape {tuple(trajectory.shape)}, expected (..., {samples[0]}, "
            f"{samples[1]}, 2) for k-space {tuple(data.shape)} (..., coil, shot, sample)."
        )
    if not _broadcasts(tuple(trajectory.shape[:-3]), batch):
        raise ShapeError(
            f"the trajectory has leading axes {tuple(trajectory.shape[:-3])}, k-space {batch}: "
            "give one for all items, or one for each."
        )
    reach = trajectory.abs().to(torch.float64).flatten(0, -2).amax(dim=0)
    farthest, axes = float(reach.max()), trajectory.shape[-1]
    if PER_PIXEL < farthest <= 1:
        raise DataError(
            f"the trajectory goes out to {farthest:.3g}, expected cycles per field of view, or "
            "cycles per pixel up to 0.5: divide radians by 2 pi, or multiply by the image size."
        )
    if matrix is None and maps is not None and maps.ndim > axes:
        matrix = tuple(maps.shape[-axes:])
    radius = float(trajectory.to(torch.float64).norm(dim=-1).max())
    ends = any(RADIANS[0] <= end <= RADIANS[1] for end in (farthest, radius))
    if ends and (matrix is None or max(matrix) > 2 * math.ceil(RADIANS[1])):
        raise DataError(
            f"the trajectory ends at {farthest:.4g}, as one in radians per pixel does, expected "
            "cycles per field of view, or per pixel up to 0.5: divide radians by 2 pi."
        )
    if matrix is None and farthest > 1:
        matrix = tuple(max(1, 2 * math.ceil(float(k) - 1e-3)) for k in reach)
    if matrix is None:
        return trajectory, _checked_density(density, samples, batch), None
    matrix = tuple(int(n) for n in matrix)
    if len(matrix) != trajectory.shape[-1] or min(matrix) < 1:
        raise ShapeError(
            f"the image is {matrix}, the trajectory has {trajectory.shape[-1]} coordinates: give "
            "one size for each, (y, x) or (z, y, x)."
        )
    if farthest <= PER_PIXEL:
        trajectory = trajectory * trajectory.new_tensor(matrix)
    checked_trajectory(trajectory, matrix, "k-space")
    return trajectory, _checked_density(density, samples, batch), matrix


def resolved_matrix(trajectory: Tensor) -> tuple[int, ...]:
    """The image that a trajectory in cycles per pixel resolves, by Nyquist: equal sizes.

    ``n = 1 / gap``, the larger for the steps along the shots and for the gaps between them halfway
    to the edge (the 95th percentile of the distance to a sample is 0.475 gap), rounded up to a
    multiple of 32 (from a tenth on) as scanners have it. A guess: a readout that is oversampled
    gives a wider image.
    """
    from scipy.spatial import cKDTree

    axes = trajectory.shape[-1]
    points = trajectory.reshape(-1, axes).to(torch.float64).cpu().numpy()
    steps = (trajectory[..., 1:, :] - trajectory[..., :-1, :]).norm(dim=-1)
    steps = steps[steps > 0]
    step = float(steps.median()) if len(steps) else math.inf
    rng = np.random.default_rng(0)
    middle = rng.normal(size=(4096, axes))
    radius = rng.uniform(0.2**axes, 0.3**axes, (4096, 1)) ** (1 / axes)
    middle *= radius / np.linalg.norm(middle, axis=1, keepdims=True)
    gap = float(np.quantile(cKDTree(points).query(middle)[0], 0.95)) / 0.475
    size = 32 * math.ceil(max(1 / max(gap, 1e-4), 1 / max(step, 1e-4)) / 32 - 0.1)
    return (size,) * axes


def _checked_density(
    density: Tensor | None, samples: tuple[int, ...], batch: tuple[int, ...]
) -> Tensor | None:
    if density is not None:
        if tuple(density.shape[-2:]) != samples or not _broadcasts(
            tuple(density.shape[:-2]), batch
        ):
            raise ShapeError(
                f"the density has shape {tuple(density.shape)}, expected (..., {samples[0]}, "
                f"{samples[1]}): one weight for each sample."
            )
        if not bool((torch.isfinite(density) & (density >= 0)).all()) or not bool(density.any()):
            raise DataError("the density has negative, infinite or only zero weights: give areas.")
    return density


def estimate_trajectory_noise(kspace: Tensor, trajectory: Tensor) -> float:
    """Estimate the noise per real component from the outer samples of (..., coil, shot, sample).

    The twentieth of the samples farthest from the centre, relative to the reach of each axis,
    hardly holds signal: ``sigma = sqrt(median |y|^2 / (2 ln 2))``. Sharp edges make it too high.

    Raises DataError where the estimate is zero.
    """
    reach = trajectory.abs().flatten(0, -2).amax(dim=0).clamp_min(1e-9)
    radius = (trajectory / reach).square().sum(dim=-1).flatten(-2)
    count = min(max(radius.shape[-1] // 20, 64), radius.shape[-1])
    outer = radius.topk(count, dim=-1).indices.unsqueeze(-2).to(kspace.device)
    samples = kspace.flatten(-2)
    power = samples.gather(-1, outer.expand(*samples.shape[:-1], count)).abs().square()
    sigma = math.sqrt(float(power[power > 0].median()) / (2 * math.log(2))) if power.any() else 0.0
    # what float32 rounds away is no noise
    if sigma <= torch.finfo(torch.float32).eps * float(kspace.abs().max()):
        raise DataError(
            "the noise is estimated as zero (the data look noise-free): give noise=sigma."
        )
    return sigma


def _broadcasts(shape: tuple[int, ...], batch: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, batch) == batch
    except ValueError:
        return False
