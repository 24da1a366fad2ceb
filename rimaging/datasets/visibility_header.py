"""The header of an image made from visibilities: WCS, unit, beam, where and when."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from rimaging.errors import OptionError

if TYPE_CHECKING:
    from astropy.io.fits import Header

    from rimaging.datasets.visibilities import VisibilityData

__all__ = ["angle_radians", "visibility_header"]

UNITS = {
    "uas": 1e-6,
    "µas": 1e-6,
    "mas": 1e-3,
    "arcsec": 1.0,
    "as": 1.0,
    "arcmin": 60.0,
    "deg": 3600.0,
}
"""Arcseconds of the units that an angle may have."""


def angle_radians(text: str | float) -> float:
    """``"1uas"``, ``"0.3 mas"``, ``"2arcsec"``, ``"0.1arcmin"``, or a number of arcseconds.

    Raises OptionError for another unit, and for an angle that is not above 0.
    """
    found = re.fullmatch(r"\s*([\d.]+(?:[eE][-+]?\d+)?)\s*([a-zµ]*)\s*", str(text))
    try:
        value = float(found[1]) * UNITS[found[2] or "arcsec"] if found else math.nan
    except (KeyError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise OptionError(
            f"{text!r} is no angle: give a number above 0 with {', '.join(UNITS)}, such as '1uas'"
        )
    return math.radians(value / 3600)


def visibility_header(
    data: VisibilityData,
    shape: tuple[int, int],
    cell: float,
    beam: tuple[float, float, float],
) -> Header:
    """North up, east to the left, the phase centre on pixel ``n // 2``; Jy/beam.

    cell: in radians. beam: FWHM of both axes in pixels, and angle in degrees. A file that does not
    say where it looked gets a WCS of offsets, about 0, 0.
    """
    from astropy.io import fits

    right, declination = data.position or (0.0, 0.0)
    step = math.degrees(cell)
    cards: dict[str, tuple[float | str, str]] = {
        "CTYPE1": ("RA---SIN", ""),
        "CTYPE2": ("DEC--SIN", ""),
        "CRVAL1": (right, "[deg]"),
        "CRVAL2": (declination, "[deg]"),
        "CRPIX1": (shape[1] // 2 + 1.0, ""),
        "CRPIX2": (shape[0] // 2 + 1.0, ""),
        "CDELT1": (-step, "[deg]"),
        "CDELT2": (step, "[deg]"),
        "CUNIT1": ("deg", ""),
        "CUNIT2": ("deg", ""),
        "RADESYS": ("ICRS", ""),
        "BUNIT": ("Jy/beam", "restored"),
        "BMAJ": (beam[0] * step, "[deg] FWHM of the clean beam"),
        "BMIN": (beam[1] * step, "[deg]"),
        "BPA": (beam[2], "[deg] from north through east"),
    }
    header = fits.Header()
    for name, card in cards.items():
        header[name] = card
    if math.isfinite(data.frequency):
        header["RESTFRQ"] = (data.frequency, "[Hz] of the first channel")
    for name, value in data.facts.items():
        header[name] = value
    return header
