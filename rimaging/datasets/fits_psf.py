"""A PSF, or the noise, of an image from another file: compared with the image first."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rimaging.datasets.fits import ROLES, choose_image, name_of
from rimaging.datasets.fits_axes import pixel_scales
from rimaging.datasets.fits_companions import UNCERTAINTIES
from rimaging.datasets.fits_open import open_fits, split_extension, whole_header
from rimaging.datasets.section import Section
from rimaging.errors import DataError

if TYPE_CHECKING:
    from astropy.io.fits import Header

__all__ = ["check_pixel_scale", "read_fits_noise", "read_fits_psf"]

INVERSE = "IVAR"
"""The name of an inverse variance in the files of SDSS, DESI and the Legacy Surveys."""

TOLERANCE = 0.01
"""Of the pixel scale: a hundredth moves a star at the edge of a stamp by less than a pixel."""


def read_fits_psf(path: str | Path, image: Header | None) -> Tensor:
    """Read a PSF ``(..., y, x)``, without leading axes of length 1, for an image with this header.

    Warns where the file has several images and none was named.
    Raises DataError where both state the size of their pixels and these differ; FormatError as
    `read_fits` does.
    """
    bare, extension = split_extension(path)
    with open_fits(bare) as file:
        index, notes = choose_image(file, extension)
        if image is not None:
            check_pixel_scale(whole_header(file, index), image, f"{file.name}[{index}]")
        psf = torch.from_numpy(file.array(index))
    for note in notes:  # here, since none is heard while a file is open
        warnings.warn(f"PSF {bare.name!r}: {note}", stacklevel=2)
    while psf.ndim > 2 and psf.shape[0] == 1:
        psf = psf[0]
    return psf


def check_pixel_scale(psf: Header, image: Header, what: str) -> None:
    """Raise DataError where a PSF has other pixels than its image, if both state them."""
    own, wanted = pixel_scales(psf), pixel_scales(image)
    if own is None or wanted is None:
        return
    ratio = math.sqrt(own[0] * own[1] / (wanted[0] * wanted[1]))
    if abs(ratio - 1) > TOLERANCE:
        raise DataError(
            f"the PSF {what} has {3600 * own[0]:.4g} arcsec per pixel and the image "
            f"{3600 * wanted[0]:.4g}: resample it to those, or take the extension that has the "
            "pixels of the detector."
        )


def read_fits_noise(path: str | Path, section: Section | None = None) -> Tensor:
    """Read sigma per pixel from an extension: ERR as it is, of a variance the square root.

    Of an inverse variance (IVAR) one over that, NaN where it says 0: nothing was measured there.

    Of an array on the pixels of the whole image, the ``section`` alone. Raises DataError for
    weights (WHT), whose unit nobody states, and for an unknown UTYPE.
    """
    bare, extension = split_extension(path)
    with open_fits(bare) as file:
        index, _ = choose_image(file, extension)
        values = torch.from_numpy(file.array(index, section))
        name, header = name_of(file.hdus[index]), file.hdus[index].header
    role = ROLES.get(name)
    if role == "WHT":
        raise DataError(
            f"{bare.name!r}[{index}] holds weights (WHT), expected sigma: leave --noise out and "
            "they are used by themselves, or give an RMS map."
        )
    if role == "UNCERT":
        stated = str(header.get("UTYPE", "StdDevUncertainty"))
        if stated not in UNCERTAINTIES:
            raise DataError(f"UNCERT has UTYPE {stated!r}, expected {', '.join(UNCERTAINTIES)}.")
        return values ** UNCERTAINTIES[stated]
    if name == INVERSE:
        return torch.where(values > 0, values, torch.nan).rsqrt()
    return values.sqrt() if role == "VAR" else values
