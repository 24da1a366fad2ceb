"""How large an image of visibilities is and how fine its pixels, where nobody says."""

from __future__ import annotations

import math

import torch

from rimaging.datasets.visibilities import VisibilityData
from rimaging.datasets.visibility_header import angle_radians
from rimaging.errors import DataError, OptionError
from rimaging.memory import available

FINE = 8
"""Pixels per wavelength of the longest baseline, where nobody says: about 5 in a beam."""

LARGEST = 512
SMALLEST = 32
"""Sides of the image between which the shortest baseline says, where nobody does."""

SMEAR = 0.5
"""How far a baseline may move in a mean of a scan, over one cell of the uv plane."""

BYTES = 800
"""Memory for a pixel of the image, its beam of twice the sides included."""


def grid_of(
    data: VisibilityData, size: int | None, pixel: str | float | None
) -> tuple[int, float, list[str]]:
    """Side in pixels and the cell in radians, and what was chosen."""
    length = torch.hypot(data.u, data.v)
    notes = []
    if pixel is None:
        cell = 1 / (FINE * float(length.max()))
        notes.append(f"pixels of {_arcsec(cell)}, from the longest baseline")
    else:
        cell = angle_radians(pixel)
    longest = float(torch.maximum(data.u.abs().max(), data.v.abs().max()))
    if longest * cell > 0.5:
        raise DataError(
            f"pixels of {_arcsec(cell)} are too large for baselines of {longest:.4g} wavelengths: "
            f"give at most {_arcsec(0.5 / longest)}, better {_arcsec(1 / (FINE * longest))}"
        )
    if size is None:
        wanted = 1 / (float(length[length > 0].min()) * cell) if bool((length > 0).any()) else 0
        side = 2 * math.ceil(min(max(wanted, SMALLEST), LARGEST) / 2)
        how = (
            "from the shortest baseline"
            if wanted <= LARGEST
            else f"the most without size= ({LARGEST})"
        )
        notes.append(f"an image of {side} x {side} pixels, {how}")
    else:
        side = size
    if side < 8:
        raise OptionError(f"size is {side}: give 8 pixels or more")
    if BYTES * side**2 > available():
        raise OptionError(
            f"{side} x {side} pixels take about {BYTES * side**2 / 2**30:.3g} GiB, more than is "
            "free: give a smaller size, or larger pixels"
        )
    edge = math.pi * float(length.max()) * (side * cell / 2) ** 2  # of a plane that is none
    if edge > 1:
        notes.append(
            f"no w-term: phases at the edge of the field may be off by {edge:.2g} radian; within "
            f"{_arcsec(side * cell / 2 / math.sqrt(edge))} of the middle by less than 1"
        )
    return side, cell, notes


def check_field(side: int, cell: float, lobe: float) -> None:
    """Raise DataError for a field narrower than its clean beam, of ``lobe`` pixels."""
    if lobe > side:
        raise DataError(
            f"the field of {side} pixels of {_arcsec(cell)} is narrower than the beam of "
            f"{_arcsec(lobe * cell)}, and shows nothing: give larger pixels, or more of them"
        )


def _arcsec(radians: float) -> str:
    return f"{3600 * math.degrees(radians):.4g} arcsec"


def reach_of(
    data: VisibilityData, min_baseline: float, size: int | None, pixel: str | float | None
) -> float:
    """How far in wavelengths a baseline may move in a mean without smearing the field."""
    long = torch.hypot(data.u, data.v) >= min_baseline
    side, cell, _ = grid_of(data.chosen(long) if bool(long.any()) else data, size, pixel)
    return SMEAR / (side * cell)
