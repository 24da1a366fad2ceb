"""The clean beam of a radio image as a PSF: a Gaussian on its pixels, one for each channel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.fits_axes import pixel_scales
from rimaging.errors import DataError

if TYPE_CHECKING:
    from astropy.io.fits import Header

    from rimaging.datasets.fits_beams import Beams

__all__ = ["beam_psf", "gaussian_beam"]

CUT = 1.6
"""Radius of the stamp in FWHM of the major axis: 1 in 10^3 of the peak."""


def gaussian_beam(
    major: float, minor: float, angle: float, radius: int, *, east: int = -1
) -> Tensor:
    """A Gaussian ``(y, x)`` of sum 1; FWHM in pixels, angle in degrees from north through east.

    North is up; ``east`` is -1 where it lies to the left (CDELT1 < 0), as on the sky, else 1.
    """
    line = torch.arange(-radius, radius + 1, dtype=torch.float64)
    north, toward_east = line[:, None], east * line[None, :]
    turn = math.radians(angle)
    along = north * math.cos(turn) + toward_east * math.sin(turn)
    across = toward_east * math.cos(turn) - north * math.sin(turn)
    beam = torch.exp(-4 * math.log(2) * ((along / major) ** 2 + (across / minor) ** 2))
    return (beam / beam.sum()).float()


def beam_psf(beams: Beams, header: Header, shape: tuple[int, ...]) -> Tensor:
    """PSFs ``(y, x)`` of one beam for all, or ``(..., 1 or channel, y, x)`` for a cube ``shape``.

    A channel without a beam gets the mean of the others, since its data are blank anyway.

    Raises DataError where the header does not state the size of the pixels, for pixels that are no
    squares and images whose north is not up.
    """
    scales = pixel_scales(header)
    if scales is None:
        raise DataError(
            "the image states a beam in degrees and no pixel size (CDELT, CD): give psf=."
        )
    if abs(scales[0] / scales[1] - 1) > 0.01:
        raise DataError("the image has a beam and pixels that are no squares: give psf=.")
    turned = [header.get(name) for name in ("CROTA2", "CD1_2", "PC1_2")]
    if any(isinstance(value, int | float) and abs(value) > 1e-3 * scales[0] for value in turned):
        raise DataError("the image has a beam and north is not up: give psf=.")
    pixel = scales[0]
    good = np.isfinite(beams.major)
    widths = [np.where(good, w, w[good].mean()) / pixel for w in (beams.major, beams.minor)]
    angles = np.where(good, beams.angle, 0.0)
    radius = math.ceil(CUT * float(widths[0].max()))
    east = -1 if _first_step(header) < 0 else 1
    listed = zip(widths[0].flat, widths[1].flat, angles.flat, strict=True)
    psfs = torch.stack([gaussian_beam(a, b, p, radius, east=east) for a, b, p in listed])
    if len(psfs) == 1:
        return psfs[0]
    polarisations, channels = beams.major.shape
    lead = shape[:-2]
    stacked = psfs.reshape(polarisations, channels, *psfs.shape[-2:])
    return stacked if len(lead) == 2 else stacked[0]


def _first_step(header: Header) -> float:
    """The sign of the step along x: that of CDELT1, or of CD1_1."""
    for name in ("CDELT1", "CD1_1", "PC1_1"):
        value = header.get(name)
        if isinstance(value, int | float) and value:
            return float(value)
    return -1.0
