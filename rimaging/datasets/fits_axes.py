"""Which axis of a FITS image is which: sky, spectrum, Stokes; and the size of its pixels."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

from rimaging.errors import FormatError

if TYPE_CHECKING:
    from astropy.io.fits import Header

__all__ = ["check_sky_axes", "pixel_matrix", "pixel_scales", "spectral_axis", "stokes_axis"]

SPECTRA = ("FREQ", "VELO", "VRAD", "VOPT", "WAVE", "AWAV", "ENER", "WAVN", "ZOPT", "BETA", "FELO")
SKY = ("RA--", "DEC-", "GLON", "GLAT", "ELON", "ELAT", "HPLN", "HPLT")
SCALES = {"PIXELSCL": 1.0, "PIXSCALE": 1.0, "SECPIX": 1.0, "PIXSCAL1": 1.0}
"""Cards that state arcseconds per pixel where there is no WCS."""

DEFECTS = (ValueError, TypeError, LookupError, AttributeError, RuntimeError)
"""What astropy raises on defects of a header, found by making them; wcslib's are ValueErrors."""


def check_sky_axes(header: Header, axes: int, what: str) -> None:
    """Raise FormatError where the sky is not on the first two axes of FITS, the last of NumPy."""
    for number in range(3, axes + 1):
        kind = str(header.get(f"CTYPE{number}", ""))
        if kind.startswith(SKY):
            raise FormatError(
                f"{what} has the sky ({kind}) on axis {number}, expected on 1 and 2 with the "
                "spectrum behind them: transpose the cube (numpy.moveaxis) and its WCS."
            )


def spectral_axis(header: Header, axes: int) -> int | None:
    """NumPy's (negative) index of the axis of channels; the third of FITS if nobody says."""
    for number in range(3, axes + 1):
        if str(header.get(f"CTYPE{number}", "")).upper().startswith(SPECTRA):
            return -number
    stokes = stokes_axis(header, axes)
    rest = [number for number in range(3, axes + 1) if -number != stokes]
    return -rest[0] if rest else None


def stokes_axis(header: Header, axes: int) -> int | None:
    """NumPy's (negative) index of the axis of polarisations, if there is one."""
    for number in range(3, axes + 1):
        if str(header.get(f"CTYPE{number}", "")).upper().startswith("STOKES"):
            return -number
    return None


def pixel_scales(header: Header) -> tuple[float, float] | None:
    """Degrees per pixel along x and y, from the WCS or a card such as PIXSCALE; else None."""
    matrix = pixel_matrix(header)
    if matrix is None:
        return None
    x, y = (math.hypot(*column) for column in zip(*matrix, strict=True))
    return x, y


def pixel_matrix(header: Header) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Degrees to the east and to the north, one row each, for a pixel along x and one along y.

    Of a WCS its CD or its PC and CDELT, whatever it states; of a card such as PIXSCALE, north is
    up and east to the left. None where the size of the pixels is not known.
    """
    from astropy.io.fits import VerifyError
    from astropy.wcs import WCS

    if str(header.get("CTYPE1", "")).upper().startswith(SKY):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old headers
            try:
                # distortions do not matter here, and their tables are not at hand
                sky = WCS(_linear(header), relax=True).celestial
                matrix = sky.pixel_scale_matrix
                (ex, ey), (nx, ny) = (map(float, matrix[i]) for i in (sky.wcs.lng, sky.wcs.lat))
            except (*DEFECTS, VerifyError):
                return None
        size = math.hypot(ex, nx) * math.hypot(ey, ny)
        return ((ex, ey), (nx, ny)) if size > 0 and math.isfinite(size) else None
    for name, unit in SCALES.items():
        value = header.get(name)
        if isinstance(value, int | float) and value > 0:
            scale = value * unit / 3600
            return ((-scale, 0.0), (0.0, scale))
    return None


def _linear(header: Header) -> Header:
    """The header without lookup tables of distortion, which need the rest of their file."""
    from astropy.io import fits

    lookups = ("CPDIS", "CQDIS", "DP1", "DP2", "D2IM", "CPERR", "DET2IM")
    return fits.Header([card for card in header.cards if not card.keyword.startswith(lookups)])
