"""The beam of what is written: the target's, and what it makes of an image that counts per beam."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rimaging.datasets.fits_axes import pixel_scales
from rimaging.datasets.fits_beams import Beams, along_axes, is_per_beam, round_beams
from rimaging.datasets.fits_header import without

if TYPE_CHECKING:
    from astropy.io.fits import Header

__all__ = ["TargetBeam", "target_beam", "with_target_beam"]

CARDS = ("BMAJ", "BMIN", "BPA", "CASAMBM")


@dataclass(frozen=True, eq=False)
class TargetBeam:
    """What becomes of an image of one beam that is seen by another.

    factor: to multiply it by, broadcastable to ``(..., y, x)``. unit: that it then has, None for
    the one it had. beams: those of the output, None where it has none. said: in words, or "".
    """

    factor: np.ndarray
    unit: str | None
    beams: Beams | None
    said: str


def target_beam(
    header: Header,
    shape: tuple[int, ...],
    units: str | None,
    beams: Beams | None,
    psf: np.ndarray | None,
    target: float,
) -> TargetBeam | None:
    """What the target's beam makes of an image; None where nothing is said of any beam.

    An image in Jy/beam counts per solid angle of its beam, and is multiplied by the ratio of the
    areas; with a target of 0 it becomes Jy/pixel. One in K or MJy/sr counts per fixed solid angle:
    its values stay. The beams that the header states are replaced by the target's in both.

    Args:
        shape: of the image, ``(..., y, x)``. beams: of the input. psf: ``(..., y, x)``, whose area
            counts where no beam is stated. target: FWHM in pixels.
    """
    scales = pixel_scales(header)
    per_beam = is_per_beam(units)
    if not per_beam:
        if beams is None and not any(card in header for card in CARDS):
            return None
        return TargetBeam(np.ones(()), None, _of_target(beams, scales, target), "")
    if beams is not None and scales is not None:
        area = beams.solid_angle / (scales[0] * scales[1])
        area = np.where(np.isfinite(area), area, np.nanmedian(area))
        along = along_axes(area, header, len(shape))[..., None, None]
    elif psf is not None:
        psf = psf.astype(np.float64)
        area = psf.sum(axis=(-2, -1)) / psf.max(axis=(-2, -1))
        one = area.size == 1
        along = area.reshape((1,) * len(shape)) if one else area[..., None, None]
    else:
        return None
    if not target > 0:
        unit = _spelt(str(units), "pixel")
        said = f"{unit}; was per beam of {np.median(area):.4g} pixels"
        return TargetBeam(1 / along, unit, None, said)
    new = math.pi * target**2 / (4 * math.log(2))
    said = f"beam of {new:.4g} pixels; was {np.median(area):.4g}"
    unit = _spelt(str(units), "beam")
    return TargetBeam(new / along, unit, _of_target(beams, scales, target), said)


def with_target_beam(header: Header, found: TargetBeam | None) -> Header:
    """The header with the unit and the beam of the output."""
    if found is None:
        return header
    cards = without(header, *CARDS)
    if found.unit is not None:
        cards["BUNIT"] = (found.unit, found.said[:46])
    beams = found.beams
    if beams is None:
        return cards
    if beams.table:
        cards["CASAMBM"] = (True, "beams of the channels in BEAMS")
        return cards
    cards["BMAJ"] = (float(beams.major[0, 0]), "[deg] FWHM of the beam of SCI")
    cards["BMIN"] = (float(beams.minor[0, 0]), "[deg]")
    cards["BPA"] = (float(beams.angle[0, 0]), "[deg] from north through east")
    return cards


def _of_target(
    beams: Beams | None, scales: tuple[float, float] | None, target: float
) -> Beams | None:
    """Round beams as wide as the target, None for a point and for pixels of unknown size."""
    if scales is None or not target > 0:
        return None
    one = np.full((1, 1), 1.0)
    like = beams if beams is not None else Beams(one, one, one, table=False)
    return round_beams(target * math.sqrt(scales[0] * scales[1]), like)


def _spelt(units: str, per: str) -> str:
    """The unit per beam or per pixel, the rest of it as it came but for janskys in capitals."""
    text = re.sub(r"\bbeam\b", per, units.strip(), flags=re.IGNORECASE)
    return re.sub(r"\bmjy\b", "mJy", re.sub(r"\b(JY|jy)\b", "Jy", text))
