"""The clean beam of a radio image as a PSF: a Gaussian on its pixels, one for each channel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.fits_axes import pixel_matrix
from rimaging.datasets.fits_beams import along_axes
from rimaging.errors import DataError

if TYPE_CHECKING:
    from astropy.io.fits import Header

    from rimaging.datasets.fits_beams import Beams

__all__ = ["beam_psf", "gaussian_beam"]

CUT = 1.6
"""Radius of the stamp in FWHM of the major axis: 1 in 10^3 of the peak."""


NORTH_UP = ((-1.0, 0.0), (0.0, 1.0))
"""East to the left and north up, as on the sky, in pixels."""


def gaussian_beam(
    major: float,
    minor: float,
    angle: float,
    radius: int,
    *,
    matrix: tuple[tuple[float, float], tuple[float, float]] = NORTH_UP,
) -> Tensor:
    """A Gaussian ``(y, x)`` of sum 1; angle in degrees from north through east.

    major, minor: FWHM in the units of ``matrix``, which says how far to the east (first row) and to
    the north (second) a pixel along x and one along y go; as it is by default, in pixels. radius:
    of the stamp, in pixels.
    """
    line = torch.arange(-radius, radius + 1, dtype=torch.float64)
    east, north = (row[0] * line[None, :] + row[1] * line[:, None] for row in matrix)
    turn = math.radians(angle)
    along = north * math.cos(turn) + east * math.sin(turn)
    across = east * math.cos(turn) - north * math.sin(turn)
    beam = torch.exp(-4 * math.log(2) * ((along / major) ** 2 + (across / minor) ** 2))
    return (beam / beam.sum()).float()


def beam_psf(beams: Beams, header: Header, shape: tuple[int, ...]) -> Tensor:
    """PSFs ``(y, x)`` of one beam for all, or those of a cube ``shape``, ``(..., y, x)``.

    A channel without a beam gets the mean of the others, since its data are blank anyway.

    Raises DataError where the header does not state the size of the pixels, for a beam wider than
    the image (of arcseconds where degrees are meant) or narrower than a pixel, and for pixels that
    are no squares: the target, which is round in pixels, would be no round beam on the sky.
    """
    matrix = pixel_matrix(header)
    if matrix is None:
        raise DataError(
            "the image states a beam in degrees and no pixel size (CDELT, CD): give psf=."
        )
    x, y = (math.hypot(*column) for column in zip(*matrix, strict=True))
    if abs(x / y - 1) > 0.01:
        raise DataError("the image has a beam and pixels that are no squares: give psf=.")
    good = np.isfinite(beams.major)
    widths = [np.where(good, w, w[good].mean()) for w in (beams.major, beams.minor)]
    angles = np.where(good, beams.angle, 0.0)
    widest = float(widths[0].max()) / x
    if widest > max(shape[-2:]):
        raise DataError(
            f"the image states a beam of {widest:.4g} pixels and has {max(shape[-2:])} along its "
            "longer side: BMAJ and BMIN count degrees (in BEAMS what TUNIT says), repair them or "
            "give psf=."
        )
    if float(widths[0].min()) < x:
        raise DataError(
            f"the image states a beam of {float(widths[0].min()) / x:.2g} pixels, which shows "
            "nothing: repair BMAJ or the size of the pixels (CDELT, CD), or give psf=."
        )
    radius = math.ceil(CUT * float(widths[0].max()) / x)
    listed = zip(widths[0].flat, widths[1].flat, angles.flat, strict=True)
    psfs = torch.stack([gaussian_beam(a, b, p, radius, matrix=matrix) for a, b, p in listed])
    if len(psfs) == 1:
        return psfs[0]
    stacked = psfs.reshape(*beams.major.shape, *psfs.shape[-2:]).numpy()
    return torch.from_numpy(along_axes(stacked, header, len(shape)))
