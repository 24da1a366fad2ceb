"""Shears by moments in polar shapelets, out of which a known PSF can be divided."""

from __future__ import annotations

import math
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from rimaging.errors import DataError, ShapeError
from rimaging.reports.arrays import to_torch

_LEAST = 1e-4
"""What a PSF passes of a frequency, below which the division by it goes no further."""


def shapelet_shear(
    images: NDArray[Any] | Tensor, scale: float, psf: NDArray[Any] | Tensor | None = None
) -> Tensor:
    """The shear of Fourier Power Function Shapelets, ``g = sqrt(2) M22 / (M00 - M40)``.

    With ``u = r^2 / S^2`` about the middle of the stamp, ``M`` are the sums of the image times
    ``exp(-u / 2)`` and: 1 for ``M00``, ``u e^(2 i phi) / sqrt(2)`` for ``M22``, and
    ``1 - 2 u + u^2 / 2`` for ``M40``. A small shear changes the ``M22`` of a round galaxy by itself
    times ``(M00 - M40) / sqrt(2)``, whatever its profile. The moments are linear in the image; a
    constant that would weigh faint galaxies less is left out.

    Args:
        images: background-subtracted stamps ``(..., y, x)``, a galaxy in the middle of each.
        scale: ``S``, in pixels.
        psf: of the images, ``(v, u)`` or one per stamp ``(..., v, u)``, odd sides. The moments are
            then those before it blurred, noise and all.

    Returns:
        ``(..., 2)``: ``g1`` and ``g2``, in the convention of `rimaging.reports.galaxies`. Shortened
        to 1 where noise makes them longer; NaN where ``M00 - M40`` is not positive.

    Raises:
        ShapeError: stamps or PSFs that are none, a PSF of even sides.
        DataError: non-finite or complex values, a scale that is not positive.

    Source: Li et al., MNRAS 481, 4445 (2018), of the power of the Fourier transform; Li &
    Mandelbaum, MNRAS 521, 4904 (2023), of the image itself, as here.
    """
    stamps = _checked(images, "galaxies")
    if not scale > 0:
        raise DataError(f"scale of the shapelets is {scale}; expected > 0 pixels")
    basis = _shapelets((stamps.shape[-2], stamps.shape[-1]), scale).to(stamps.device)
    if psf is not None:
        basis = _divided(basis, _checked(psf, "PSFs").to(stamps.device))
    m00, m22c, m22s, m40 = (basis * stamps[..., None, :, :]).sum((-2, -1)).unbind(-1)
    response = m00 - m40
    shear = math.sqrt(2) * torch.stack([m22c, m22s], -1) / response[..., None]
    shear = shear / torch.linalg.vector_norm(shear, dim=-1, keepdim=True).clamp_min(1)
    return torch.where(response[..., None] > 0, shear, torch.full_like(shear, math.nan))


def _shapelets(shape: tuple[int, int], scale: float) -> Tensor:
    """Those of ``M00``, of the real and the imaginary part of ``M22``, of ``M40``; (4, y, x)."""
    rows, columns = (
        (torch.arange(size, dtype=torch.float64) - (size - 1) / 2) / scale for size in shape
    )
    y, x = rows[:, None], columns[None, :]
    u = x**2 + y**2
    polynomials = [torch.ones_like(u), (x**2 - y**2) / math.sqrt(2), math.sqrt(2) * x * y]
    polynomials.append(1 - 2 * u + u**2 / 2)
    return torch.stack(polynomials) * torch.exp(-u / 2)


def _divided(basis: Tensor, psf: Tensor) -> Tensor:
    """``B`` such that the sum of ``B (P f)`` is that of ``basis f``; ``(..., 4, y, x)``."""
    height, width = basis.shape[-2:]
    v, u = psf.shape[-2:]
    if v % 2 == 0 or u % 2 == 0:
        raise ShapeError(f"PSFs are {tuple(psf.shape)}; expected odd sides: the middle is a pixel")
    grid = (height + v - 1, width + u - 1)  # nothing wraps around
    psf = psf / psf.sum((-2, -1), keepdim=True)
    padded = torch.nn.functional.pad(psf, (0, grid[1] - u, 0, grid[0] - v))
    transfer = torch.fft.rfft2(padded.roll((-(v // 2), -(u // 2)), dims=(-2, -1)))[..., None, :, :]
    power = transfer.abs().square().clamp_min(_LEAST**2)
    divided: Tensor = torch.fft.irfft2(torch.fft.rfft2(basis, s=grid) * transfer / power, s=grid)
    return divided[..., :height, :width]


def _checked(images: NDArray[Any] | Tensor, what: str) -> Tensor:
    stamps = to_torch(images)
    if stamps.ndim < 2:
        raise ShapeError(f"{what} are {tuple(stamps.shape)}; expected stamps (..., y, x)")
    if stamps.is_complex() or not bool(torch.isfinite(stamps).all()):
        raise DataError(f"{what} have complex or non-finite values; expected finite real stamps")
    return stamps.to(torch.float64)
