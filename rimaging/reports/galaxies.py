"""Flux, position and shape of galaxies: what weak lensing needs to survive a deconvolution.

Positions are in pixels, ``x`` along the last axis, ``y`` along the one before, the centre of the
first pixel at 0. Shapes are shears ``g = (a - b) / (a + b) e^(2 i phi)``, ``phi`` from ``x`` to
``y``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from rimaging.errors import DataError, ShapeError
from rimaging.reports.arrays import to_torch

_SUBPIXELS = 8
_MAX_STEP = 1.0  # pixels: a noisy peak beside the galaxy must not capture the weight in one step


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Adaptive moments of a batch of galaxies; every field is a tensor of the batch's shape.

    ``flux`` is that of the fitted Gaussian, ``sigma = det(M)^(1/4)`` pixels. Where ``ok`` is False
    (no light, no convergence, a runaway weight), the numbers are NaN.
    """

    flux: Tensor
    x: Tensor
    y: Tensor
    sigma: Tensor
    g1: Tensor
    g2: Tensor
    ok: Tensor
    steps: Tensor


def adaptive_moments(
    images: NDArray[Any] | Tensor,
    sigma: float = 2.5,
    steps: int = 200,
    tolerance: float = 1e-7,
) -> Moments:
    """Second moments under the elliptical Gaussian weight that matches them.

    With ``w = exp(-r^T M^-1 r / 2)`` around ``c`` and the weighted moments ``T = <r r^T>_w``, the
    fixed point is ``c = <x>_w`` and ``T = M / 2``; each step sets ``M <- (T^-1 - M^-1)^-1``, which
    for a Gaussian galaxy is exact at once.

    Args:
        images: background-subtracted stamps ``(..., y, x)``, one galaxy near the middle of each.
        sigma: of the first, round weight, in pixels.
        steps: at most so many.
        tolerance: on the change of ``M`` relative to ``M``, of the centre relative to its radius.

    Raises:
        ShapeError: not ``(..., y, x)``.
        DataError: non-finite or complex values.

    Source: Bernstein & Jarvis, AJ 123, 583 (2002); Hirata & Seljak, MNRAS 343, 459 (2003).
    """
    stamps = _stamps(images)
    batch = stamps.shape[:-2]
    stamps = stamps.reshape(-1, *stamps.shape[-2:])
    count, height, width = stamps.shape
    rows = torch.arange(height, dtype=stamps.dtype, device=stamps.device)[:, None]
    columns = torch.arange(width, dtype=stamps.dtype, device=stamps.device)
    half = max(height, width) / 2

    centre = stamps.new_tensor([(width - 1) / 2, (height - 1) / 2]).repeat(count, 1)
    start = centre.clone()
    shape = torch.eye(2, dtype=stamps.dtype, device=stamps.device).repeat(count, 1, 1) * sigma**2
    flux = stamps.new_zeros(count)
    taken = torch.zeros(count, dtype=torch.int64, device=stamps.device)
    failed = torch.zeros(count, dtype=torch.bool, device=stamps.device)
    done = failed.clone()

    for _ in range(steps):
        active = torch.nonzero(~(failed | done))[:, 0]
        if not len(active):
            break
        pixels, c, m = stamps[active], centre[active], shape[active]
        dx = columns - c[:, 0, None, None]
        dy = rows - c[:, 1, None, None]
        inverse = torch.linalg.inv(m)
        radius2 = inverse[:, 0, 0, None, None] * dx**2 + inverse[:, 1, 1, None, None] * dy**2
        radius2 = radius2 + 2 * inverse[:, 0, 1, None, None] * dx * dy
        weighted = pixels * torch.exp(-radius2 / 2)
        total = weighted.sum((-2, -1))
        lit = total > 0
        safe = torch.where(lit, total, torch.ones_like(total))[:, None]
        mean = torch.stack([(weighted * a).sum((-2, -1)) for a in (dx, dy)], -1) / safe
        pairs = ((dx, dx), (dx, dy), (dx, dy), (dy, dy))
        second = torch.stack([(weighted * a * b).sum((-2, -1)) for a, b in pairs], -1) / safe
        moments = second.reshape(-1, 2, 2)
        positive, moments = _positive(moments)
        good, update = _positive(torch.linalg.inv(moments) - inverse)
        update = torch.linalg.inv(update)
        # A weighted mean moves half way for a matched Gaussian, hence the factor 2.
        shift = (2 * mean).clamp(-_MAX_STEP, _MAX_STEP)

        size = update.diagonal(dim1=-2, dim2=-1).sum(-1)
        sound = lit & positive & good & (size < half**2)
        sound &= ((c + shift - start[active]).abs() < half / 2).all(-1)
        scale = m.diagonal(dim1=-2, dim2=-1).sum(-1)
        change = torch.maximum(
            (update - m).abs().amax((-2, -1)) / scale, shift.abs().amax(-1) / scale.sqrt()
        )
        failed[active] = ~sound
        done[active] = sound & (change < tolerance)
        keep = active[sound]
        centre[keep], shape[keep] = (c + shift)[sound], update[sound]
        flux[active] = 2 * total
        taken[active] += 1

    return _describe(batch, flux, centre, shape, done, taken)


def ellipticity_error(reference: NDArray[Any] | Tensor, images: NDArray[Any] | Tensor) -> Tensor:
    """``|g(image) - g(reference)|`` of each galaxy; NaN where either has no adaptive moments.

    Raises:
        ShapeError: stamps of other shapes.
    """
    if tuple(reference.shape) != tuple(images.shape):
        raise ShapeError(
            f"images are {tuple(images.shape)}; expected those of the reference, "
            f"{tuple(reference.shape)}"
        )
    truth, guess = adaptive_moments(reference), adaptive_moments(images)
    return torch.hypot(guess.g1 - truth.g1, guess.g2 - truth.g2)


def aperture_flux(
    images: NDArray[Any] | Tensor, radius: float, x: float | None = None, y: float | None = None
) -> Tensor:
    """Sum of the light within ``radius`` pixels of ``(x, y)``, by default the middle; ``(...)``.

    A pixel on the edge counts by its fraction inside, from 8 x 8 points in it.

    Raises:
        ShapeError: not ``(..., y, x)``.
        DataError: non-finite values, a radius that is not positive.
    """
    stamps = _stamps(images)
    if not radius > 0:
        raise DataError(f"aperture radius is {radius}; expected > 0 pixels")
    height, width = stamps.shape[-2:]
    offsets = (torch.arange(_SUBPIXELS, dtype=stamps.dtype) + 0.5) / _SUBPIXELS - 0.5
    fine_y = torch.arange(height)[:, None] + offsets - ((height - 1) / 2 if y is None else y)
    fine_x = torch.arange(width)[:, None] + offsets - ((width - 1) / 2 if x is None else x)
    inside = fine_y[:, :, None, None] ** 2 + fine_x[None, None] ** 2 <= radius**2
    aperture = inside.to(stamps.dtype).mean((1, 3)).to(stamps.device)
    return (stamps * aperture).sum((-2, -1))


def flux_error(
    reference: NDArray[Any] | Tensor, images: NDArray[Any] | Tensor, radius: float
) -> Tensor:
    """Relative error of the aperture flux, ``(F - F_reference) / F_reference``, of each galaxy.

    Raises:
        DataError: a reference without light in the aperture.
    """
    truth = aperture_flux(reference, radius)
    if bool((truth <= 0).any()):
        raise DataError("a reference galaxy has no flux in the aperture; expected > 0")
    return (aperture_flux(images, radius) - truth) / truth


def _stamps(images: NDArray[Any] | Tensor) -> Tensor:
    stamps = to_torch(images)
    if stamps.ndim < 2:
        raise ShapeError(f"galaxies are {tuple(stamps.shape)}; expected stamps (..., y, x)")
    if stamps.is_complex() or not bool(torch.isfinite(stamps).all()):
        raise DataError("galaxies have complex or non-finite values; expected finite real stamps")
    return stamps.to(torch.float64)


def _positive(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Which 2 x 2 matrices are positive definite; the others are replaced by the identity."""
    determinant = matrix[:, 0, 0] * matrix[:, 1, 1] - matrix[:, 0, 1] * matrix[:, 1, 0]
    positive = (matrix[:, 0, 0] > 0) & (determinant > 1e-12 * matrix[:, 0, 0] ** 2)
    identity = torch.eye(2, dtype=matrix.dtype, device=matrix.device)
    return positive, torch.where(positive[:, None, None], matrix, identity)


def _describe(
    batch: torch.Size, flux: Tensor, centre: Tensor, shape: Tensor, ok: Tensor, steps: Tensor
) -> Moments:
    trace = shape[:, 0, 0] + shape[:, 1, 1]
    e1 = (shape[:, 0, 0] - shape[:, 1, 1]) / trace
    e2 = 2 * shape[:, 0, 1] / trace
    # From the distortion (a^2 - b^2) / (a^2 + b^2) to the shear (a - b) / (a + b).
    to_shear = 1 / (1 + (1 - e1**2 - e2**2).clamp_min(0).sqrt())
    sigma = torch.linalg.det(shape).clamp_min(0) ** 0.25

    def field(value: Tensor) -> Tensor:
        return torch.where(ok, value, torch.full_like(value, math.nan)).reshape(batch)

    return Moments(
        flux=field(flux),
        x=field(centre[:, 0]),
        y=field(centre[:, 1]),
        sigma=field(sigma),
        g1=field(e1 * to_shear),
        g2=field(e2 * to_shear),
        ok=ok.reshape(batch),
        steps=steps.reshape(batch),
    )
