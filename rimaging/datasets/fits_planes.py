"""Further images that go with a result into its FITS file: models, residuals, beams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rimaging.datasets.fits_header import without

if TYPE_CHECKING:
    from astropy.io.fits import HDUList

__all__ = ["Plane", "with_planes"]

BEAM = ("BMAJ", "BMIN", "BPA")


@dataclass(frozen=True, kw_only=True, eq=False)
class Plane:
    """One extension: its name, its values, their unit, and a sentence on what they are."""

    name: str
    array: Any
    unit: str | None = None
    said: str = ""
    sky: bool = True


def with_planes(hdus: HDUList, planes: Sequence[Plane]) -> HDUList:
    """The extensions of a result and these; a plane on its ``sky`` gets the WCS of SCI.

    A plane takes the place of an extension of its name. The beam is kept where it counts per beam.
    """
    from astropy.io import fits

    brief = without(hdus["SCI"].header, "HISTORY", "COMMENT", "RIM*", "NOISEMDL", "DATE", "BUNIT")
    brief = without(brief, "XTENSION", "BITPIX", "NAXIS*", "PCOUNT", "GCOUNT", "EXTNAME")
    for plane in planes:
        header = fits.Header()
        if plane.sky:
            per_beam = plane.unit is not None and plane.unit.lower().endswith("/beam")
            header = brief.copy() if per_beam else without(brief, *BEAM)
        if plane.unit is not None:
            header["BUNIT"] = plane.unit
        for old in [h for h in hdus if h.name == plane.name]:
            hdus.remove(old)
        values = plane.array.detach().cpu().numpy() if hasattr(plane.array, "cpu") else plane.array
        hdu = fits.ImageHDU(np.asarray(values, np.float32), header, name=plane.name)
        if plane.said:
            hdu.header.add_comment(plane.said)
        hdus.append(hdu)
    return hdus
