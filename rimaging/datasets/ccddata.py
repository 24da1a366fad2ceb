"""A result as astropy's CCDData, which ccdproc, photutils and reproject take."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from astropy.io.fits import HDUList
    from astropy.nddata import CCDData

__all__ = ["to_ccddata"]


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
