"""Astropy's CCDData, which ccdproc, photutils and reproject give and take: in and out."""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from rimaging.datasets.arrays import fill_invalid, filled_notes, to_tensor
from rimaging.datasets.fits_companions import noise_of
from rimaging.datasets.measurement import Measurement
from rimaging.errors import DataError

if TYPE_CHECKING:
    from astropy.io.fits import HDUList, Header
    from astropy.nddata import CCDData, NDData
    from astropy.units import Quantity

__all__ = ["is_nddata", "read_nddata", "to_ccddata"]

PLACED = re.compile(
    r"(CD|PC|PV|PS)\d+_\d+|(CDELT|CROTA)\d+|(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)|LONPOLE|LATPOLE"
)
"""Cards of a WCS that another one need not have, so that it would not replace them."""


def is_nddata(source: object) -> bool:
    """Whether it is astropy's NDData, of which CCDData is one; astropy is not imported for it."""
    module = sys.modules.get("astropy.nddata")
    return module is not None and isinstance(source, module.NDData)


def is_quantity(source: object) -> bool:
    """Whether it is an array with a unit, astropy's Quantity; astropy is not imported for it."""
    module = sys.modules.get("astropy.units")
    return module is not None and isinstance(source, module.Quantity)


def in_unit(noise: Any, unit: str | None) -> Any:
    """Noise that is a Quantity as numbers in the unit of the image, where both have one.

    Raises DataError for a unit that does not convert.
    """
    if unit is None or not is_quantity(noise):
        return noise
    from astropy.units import Unit, UnitConversionError, UnrecognizedUnit, dimensionless_unscaled

    wanted = Unit(unit, parse_strict="silent")
    if isinstance(wanted, UnrecognizedUnit) or noise.unit == dimensionless_unscaled:
        return noise.value
    try:
        return noise.to_value(wanted)
    except UnitConversionError:
        raise DataError(
            f"the noise is in {noise.unit} and the image in {unit}, which do not convert: give the "
            "noise in the unit of the image"
        ) from None


def read_nddata(source: NDData | Quantity) -> Measurement:
    """A sky ``(..., y, x)`` with the mask, uncertainty, unit, header, WCS and PSF that came along.

    A mask is true where a pixel is bad. Standard deviation, variance and its inverse become sigma;
    pixels whose sigma is not above zero are masked, and NaN are masked and filled.

    Raises DataError for an uncertainty of another kind.
    """
    from astropy.nddata import NDData

    if is_quantity(source):
        source = NDData(source)
    data = to_tensor(source.data, "image")
    notes: list[str] = []
    mask = None
    if source.mask is not None:
        good = np.broadcast_to(~np.asarray(source.mask, bool), tuple(data.shape))
        mask = torch.from_numpy(good.astype(np.float32))
    data, mask, filled = fill_invalid(data, mask)
    notes += filled_notes(filled)
    noise = None
    header = _header(source)
    if source.uncertainty is not None:
        sigma = np.broadcast_to(_sigma(source), tuple(data.shape))
        noise, mask = noise_of({"ERR": (sigma, header)}, data, mask, notes)
    psf = getattr(source, "psf", None)
    provenance: dict[str, Any] = {"format": type(source).__name__}
    if notes:
        provenance["assumed"] = notes
    return Measurement(
        kind="sky",
        data=data,
        noise=noise,
        mask=mask,
        filled=filled,
        psf=None if psf is None else to_tensor(psf, "PSF"),
        units=str(header["BUNIT"]) if header.get("BUNIT") else None,
        header=header,
        provenance=provenance,
    )


def _sigma(source: NDData) -> np.ndarray:
    """The uncertainty as a standard deviation in the unit of the data."""
    from astropy.nddata import StdDevUncertainty

    known = source.uncertainty
    try:
        with np.errstate(divide="ignore", invalid="ignore"):
            deviation = known.represent_as(StdDevUncertainty)
    except TypeError:
        raise DataError(
            f"the uncertainty is {type(known).__name__}, expected StdDevUncertainty, "
            "VarianceUncertainty or InverseVariance: make it one, or set it to None and give noise="
        ) from None
    own, unit = deviation.unit, source.unit
    if own is not None and unit is not None and own != unit:
        return np.asarray(deviation.array) * float(own.to(unit))
    return np.asarray(deviation.array)


def _header(source: NDData) -> Header:
    """The cards of ``meta`` that FITS can hold, the unit as BUNIT, and the WCS: its own alone."""
    from astropy.io import fits

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of long keywords, and of a WCS that FITS rounds
        if isinstance(source.meta, fits.Header):
            header = source.meta.copy()
        else:
            header = fits.Header()
            for name, value in source.meta.items():
                # ValueError: NaN, letters beyond ASCII, line ends, names that are no keywords
                with contextlib.suppress(ValueError, TypeError):
                    header[str(name)] = value
        if source.wcs is not None and hasattr(source.wcs, "to_header"):
            for card in [name for name in header if PLACED.fullmatch(name)]:
                header.remove(card, remove_all=True)  # of the image before it was resampled, say
            header.update(source.wcs.to_header(relax=True))
        if source.unit is not None:
            header["BUNIT"] = str(source.unit)
    return header


def to_ccddata(hdus: HDUList) -> CCDData:
    """SCI with ERR as its uncertainty, PSFOUT as its PSF, the WCS of its header.

    The mask is where DQ says that nothing was measured (its plane RIMFILL). A unit that astropy
    does not know stays a name; without BUNIT there is none.
    """
    from astropy import units
    from astropy.nddata import CCDData, StdDevUncertainty
    from astropy.wcs import WCS

    names = [hdu.name for hdu in hdus]
    science = hdus["SCI"]
    header = science.header
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old headers and their units
        unit = units.Unit(str(header.get("BUNIT", "")), parse_strict="silent")
        wcs = WCS(header) if "CTYPE1" in header else None
    mask = None
    if "DQ" in names:
        flags = hdus["DQ"]
        mask = (np.asarray(flags.data) & (1 << flags.header["RIMFILL"])) != 0
    return CCDData(
        np.asarray(science.data),
        unit=unit,
        wcs=wcs,
        meta=header.copy(),
        mask=mask,
        uncertainty=StdDevUncertainty(np.asarray(hdus["ERR"].data)) if "ERR" in names else None,
        psf=np.asarray(hdus["PSFOUT"].data) if "PSFOUT" in names else None,
    )
