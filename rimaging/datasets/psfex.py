"""The ``.psf`` files of PSFEx: a PSF whose pixels are polynomials of the position.

Read after the description of the format in the PSFEx documentation (a binary table with one row,
PSF_MASK, and the polynomial in its header).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rimaging.datasets.fits_open import open_fits
from rimaging.datasets.psf import resampled
from rimaging.datasets.varying_psf import Polynomial, VaryingPsf
from rimaging.errors import FormatError

if TYPE_CHECKING:
    from astropy.io.fits import HDUList

__all__ = ["find_psfex", "read_psfex"]

POSITIONS = (("X_IMAGE", "XWIN_IMAGE", "XPSF_IMAGE"), ("Y_IMAGE", "YWIN_IMAGE", "YPSF_IMAGE"))
"""Names of the coordinates that are pixels of the image."""


def find_psfex(hdus: HDUList) -> Any | None:
    """The extension that holds a PSFEx model, or None."""
    for hdu in hdus:
        if not hdu.is_image and "PSF_MASK" in getattr(hdu, "columns", _Nothing).names:
            return hdu
    return None


class _Nothing:
    names: tuple[str, ...] = ()


def read_psfex(path: str | Path) -> VaryingPsf:
    """Read a PSFEx model as images on the pixels of the detector and their polynomial.

        P(r; x, y) = sum_{i + j <= POLDEG1} PSF_MASK_ij(r / PSF_SAMP) u^i v^j,
        u = (x - POLZERO1) / POLSCAL1, v = (y - POLZERO2) / POLSCAL2

    with FITS positions, which count from 1. A model of degree 0 has one image.

    Raises FormatError for a file without a model, and for one that depends on anything but the
    position in the image.

    Source: Bertin, ASP Conf. 442, 435 (2011).
    """
    with open_fits(Path(path)) as file:
        hdu = find_psfex(file.hdus)
        if hdu is None:
            raise FormatError(f"{file.name!r} has no PSF_MASK column: it is no model of PSFEx.")
        header = hdu.header.copy()
        masks = torch.from_numpy(hdu.data["PSF_MASK"][0].astype("f8"))
        name = file.name
    degree = _degree(header, name)
    terms = (degree + 1) * (degree + 2) // 2
    if masks.ndim == 2:
        masks = masks[None]
    if masks.ndim != 3 or len(masks) != terms:
        raise FormatError(
            f"{name!r} has PSF_MASK {tuple(masks.shape)}, expected {terms} images for POLDEG1 = "
            f"{degree}: it depends on more than the position."
        )
    sampling = float(header.get("PSF_SAMP", 1.0))
    if not sampling > 0:
        raise FormatError(f"{name!r} has PSF_SAMP = {sampling}, expected pixels above 0.")
    zero, scale = (1.0, 1.0), (1.0, 1.0)
    if degree:
        zero = (float(header["POLZERO2"]) - 1, float(header["POLZERO1"]) - 1)
        scale = (float(header["POLSCAL2"]), float(header["POLSCAL1"]))
    images = masks if sampling == 1 and masks.shape[-1] % 2 else resampled(masks, sampling)
    return VaryingPsf(images.float(), Polynomial(degree, zero, scale), name)


def _degree(header: Any, name: str) -> int:
    axes = int(header.get("POLNAXIS", 0))
    if axes == 0:
        return 0
    names = [str(header.get(f"POLNAME{i + 1}", "")).strip().upper() for i in range(axes)]
    if axes != 2 or any(n not in known for n, known in zip(names, POSITIONS, strict=True)):
        raise FormatError(
            f"{name!r} depends on {', '.join(names)}, expected X_IMAGE, Y_IMAGE: run PSFEx with "
            "PSFVAR_KEYS X_IMAGE,Y_IMAGE."
        )
    return int(header.get("POLDEG1", 0))
