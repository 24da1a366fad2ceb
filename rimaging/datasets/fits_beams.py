"""Beams of radio images: one in the header, or one for each channel in a BEAMS table (CASA).

BMAJ, BMIN: FWHM; BPA: position angle from north through east. A header states degrees; a table
states its units in TUNIT, arcseconds where it does not (as CASA writes them).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rimaging.datasets.fits_axes import spectral_axis, stokes_axis
from rimaging.errors import FormatError

if TYPE_CHECKING:
    from astropy.io.fits import BinTableHDU, HDUList, Header

__all__ = ["Beams", "along_axes", "beams_table", "is_per_beam", "read_beams", "round_beams"]

NUMBER = r"\s*([-+]?[\d.]+(?:[Ee][-+]?\d+)?)\s*"
AIPS = re.compile(rf"AIPS\s+CLEAN\s+BMAJ={NUMBER}BMIN={NUMBER}BPA={NUMBER}")


@dataclass(frozen=True, eq=False)
class Beams:
    """Beams in degrees, ``(polarisation, channel)``; NaN where a channel has none.

    ``table`` says that they came as a table, one for each channel.
    """

    major: np.ndarray
    minor: np.ndarray
    angle: np.ndarray
    table: bool

    @property
    def solid_angle(self) -> np.ndarray:
        """``pi BMAJ BMIN / (4 ln 2)`` in square degrees."""
        return np.asarray(math.pi * self.major * self.minor / (4 * math.log(2)))

    def channels(self, chosen: slice) -> Beams:
        """The beams of some channels; one beam for all stays as it is."""
        if self.major.shape[1] == 1:
            return self
        major, minor, angle = (a[:, chosen] for a in (self.major, self.minor, self.angle))
        return Beams(major, minor, angle, table=self.table)

    def said(self) -> str:
        """In words, in arcseconds."""
        sides = [3600 * a[np.isfinite(a)] for a in (self.major, self.minor)]
        if self.major.size == 1:
            major, minor = (float(side[0]) for side in sides)
            return f"{major:.4g} x {minor:.4g} arcsec at {float(self.angle[0, 0]):.3g} deg"
        widths = np.concatenate(sides)
        return f"{self.major.size} beams of {widths.min():.4g} to {widths.max():.4g} arcsec"

    def listed(self) -> list[dict[str, float | None]]:
        """For JSON: one entry for each channel, in arcseconds."""

        def number(value: float) -> float | None:
            return float(value) if math.isfinite(value) else None

        rows = zip(self.major.flat, self.minor.flat, self.angle.flat, strict=True)
        return [
            {"BMAJ": number(3600 * a), "BMIN": number(3600 * b), "BPA": number(p)}
            for a, b, p in rows
        ]


def read_beams(
    hdus: HDUList, header: Header, shape: tuple[int, ...], name: str, notes: list[str]
) -> Beams | None:
    """The beams of an image of ``shape``: of its BEAMS table if there is one, else of its header.

    Channels whose beam is zero or NaN get NaN, with a note. Raises FormatError for a table that
    does not have one beam for each channel and polarisation, or lacks a column.
    """
    table = next((h for h in hdus if h.name == "BEAMS" and not h.is_image), None)
    if table is None:
        if header.get("CASAMBM") is True:
            notes.append("CASAMBM = T and no BEAMS table: the beams of the channels are unknown")
        return _of_header(header, notes)
    axes, channel, stokes = len(shape), *_axes(header, len(shape))
    channels = shape[channel] if channel is not None and axes > 2 else 1
    polarisations = shape[stokes] if stokes is not None else 1
    missing = {"BMAJ", "BMIN", "BPA"} - set(table.columns.names)
    if missing:
        raise FormatError(
            f"the BEAMS table of {name!r} has no {', '.join(sorted(missing))}: expected BMAJ, "
            "BMIN, BPA."
        )
    rows = len(table.data)
    if rows not in (channels, channels * polarisations):
        raise FormatError(
            f"the BEAMS table of {name!r} has {rows} beams and the image {channels} channels and "
            f"{polarisations} polarisations (NAXIS3, NAXIS4): give one beam for each channel."
        )
    columns = [_in_degrees(table, column) for column in ("BMAJ", "BMIN", "BPA")]
    columns = [_sorted(column, table, channels, polarisations) for column in columns]
    return _checked(*columns, table=True, notes=notes)


def round_beams(fwhm: float, like: Beams) -> Beams:
    """Round beams of one width in degrees, for the channels that have one in ``like``."""
    width = np.where(np.isfinite(like.major), fwhm, np.nan)
    return Beams(width, width, np.where(np.isfinite(width), 0.0, np.nan), table=like.table)


def beams_table(beams: Beams) -> BinTableHDU:
    """The BEAMS extension of CASA: arcseconds and degrees, a row for each channel."""
    from astropy.io import fits

    polarisations, channels = beams.major.shape
    pol, chan = np.divmod(np.arange(beams.major.size), channels)
    hdu = fits.BinTableHDU.from_columns(
        [
            fits.Column("BMAJ", "E", unit="arcsec", array=3600 * beams.major.ravel()),
            fits.Column("BMIN", "E", unit="arcsec", array=3600 * beams.minor.ravel()),
            fits.Column("BPA", "E", unit="deg", array=beams.angle.ravel()),
            fits.Column("CHAN", "J", array=chan.astype(np.int32)),
            fits.Column("POL", "J", array=pol.astype(np.int32)),
        ],
        name="BEAMS",
    )
    hdu.header["NCHAN"] = (channels, "number of channels")
    hdu.header["NPOL"] = (polarisations, "number of polarisations")
    return hdu


def along_axes(values: np.ndarray, header: Header, axes: int) -> np.ndarray:
    """``(polarisation, channel, ...)`` laid along the axes in front of ``(y, x)`` of an image.

    Which of them is which the header says: CASA has the polarisations before the channels.
    """
    channel, stokes = _axes(header, axes)
    lengths = [1] * (axes - 2)
    if channel is not None:
        lengths[channel + 2] = values.shape[1]
    if stokes is not None:
        lengths[stokes + 2] = values.shape[0]
    if channel is not None and stokes is not None and channel < stokes:
        values = values.swapaxes(0, 1)
    return values.reshape((*lengths, *values.shape[2:]))


def is_per_beam(units: str | None) -> bool:
    """Whether an image counts per beam: Jy/beam in any of its spellings."""
    text = "".join((units or "").lower().split())
    return "/beam" in text or "beam-1" in text or "beam^-1" in text or "beam**-1" in text


def _axes(header: Header, axes: int) -> tuple[int | None, int | None]:
    return spectral_axis(header, axes), stokes_axis(header, axes)


def _of_history(header: Header) -> dict[str, float] | None:
    """The last beam that AIPS wrote into HISTORY, where it kept it instead of the cards."""
    if "HISTORY" not in header:
        return None
    found = [match for line in header["HISTORY"] if (match := AIPS.search(str(line)))]
    if not found:
        return None
    return dict(zip(("BMAJ", "BMIN", "BPA"), map(float, found[-1].groups()), strict=True))


def _of_header(header: Header | dict[str, float], notes: list[str]) -> Beams | None:
    if "BMAJ" not in header and (aips := _of_history(header)) is not None:
        header = aips
    values: list[Any] = [header.get(name) for name in ("BMAJ", "BMIN")]
    if not isinstance(values[0], int | float) or not values[0] > 0:
        return None
    if not isinstance(values[1], int | float) or not values[1] > 0:
        notes.append("BMAJ without BMIN: the beam is not used")
        return None
    angle = header.get("BPA", 0.0)
    turned = float(angle) if isinstance(angle, int | float) else 0.0
    parts = (np.full((1, 1), float(v)) for v in (*values, turned))
    return _checked(*parts, table=False, notes=notes)


def _in_degrees(table: Any, column: str) -> np.ndarray:
    from astropy import units

    text = table.columns[column].unit or ("deg" if column == "BPA" else "arcsec")
    try:
        factor = units.Unit(text).to(units.deg)
    except (ValueError, TypeError, units.UnitConversionError):
        raise FormatError(
            f"the BEAMS table has {column} in {text!r}, expected an angle such as arcsec or deg."
        ) from None
    return np.asarray(table.data[column], np.float64) * float(factor)


def _sorted(column: np.ndarray, table: Any, channels: int, polarisations: int) -> np.ndarray:
    """A column as ``(polarisation, channel)``: by CHAN and POL, else in the order of the rows."""
    if len(column) == channels:
        polarisations = 1
    names = table.columns.names
    if "CHAN" not in names or (polarisations > 1 and "POL" not in names):
        return column.reshape(polarisations, channels)
    chan = np.asarray(table.data["CHAN"], np.int64)
    pol = np.asarray(table.data["POL"], np.int64) if polarisations > 1 else np.zeros_like(chan)
    place = (pol - pol.min()) * channels + (chan - chan.min())
    if sorted(place.tolist()) != list(range(channels * polarisations)):
        raise FormatError(
            "the BEAMS table does not count its channels (CHAN, POL) one by one: repair it."
        )
    ordered = np.empty_like(column)
    ordered[place] = column
    return ordered.reshape(polarisations, channels)


def _checked(
    major: np.ndarray, minor: np.ndarray, angle: np.ndarray, *, table: bool, notes: list[str]
) -> Beams | None:
    good = np.isfinite(major) & np.isfinite(minor) & (major > 0) & (minor > 0)
    if not good.any():
        notes.append("no beam is above zero: beams not used")
        return None
    dead = int((~good).sum())
    if dead:
        notes.append(f"{dead} channels without a beam (zero or NaN)")
    major, minor = np.where(good, major, np.nan), np.where(good, minor, np.nan)
    angle = np.where(good & np.isfinite(angle), angle, np.where(good, 0.0, np.nan))
    angle = np.where(minor > major, angle + 90, angle)
    return Beams(np.fmax(major, minor), np.fmin(major, minor), angle, table=table)
