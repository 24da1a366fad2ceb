"""A cut-out of an image: which pixels of which channels, from a text or a DS9 region."""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rimaging.datasets.fits_axes import spectral_axis
from rimaging.errors import OptionError, ShapeError

if TYPE_CHECKING:
    from astropy.io.fits import Header

__all__ = ["Section", "find_section"]

PIXELS = re.compile(r"\s*\[?\s*(\d*)\s*:\s*(\d*)\s*,\s*(\d*)\s*:\s*(\d*)\s*\]?\s*")
RANGE = re.compile(r"\s*(\d*)\s*:\s*(\d*)\s*")
IMAGE, PHYSICAL = (
    re.compile(rf"(^|;)\s*{frame}\b", re.IGNORECASE | re.MULTILINE)
    for frame in ("image", "physical")
)
"""Frames of DS9's regions: pixels of the image, and of the detector that it is a part of."""


@dataclass(frozen=True)
class Section:
    """Part of an array ``(..., y, x)`` of shape ``whole``: a range on each of its axes."""

    ranges: tuple[tuple[int, int], ...]
    whole: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the part."""
        return tuple(end - start for start, end in self.ranges)

    def index(self, shape: tuple[int, ...]) -> tuple[slice, ...] | None:
        """The index into an array that shares the last axes of the whole; None if it does not.

        Axes of length 1 stand for all, as NumPy broadcasts.
        """
        own = self.ranges[len(self.ranges) - len(shape) :]
        full = self.whole[len(self.whole) - len(shape) :]
        if len(shape) > len(self.ranges):
            return None
        if shape[-2:] != full[-2:] or any(
            n not in (1, m) for n, m in zip(shape, full, strict=True)
        ):
            return None
        return tuple(
            slice(0, 1) if n == 1 != m else slice(*r)
            for n, m, r in zip(shape, full, own, strict=True)
        )

    def text(self) -> str:
        """As it is written on the command line, the channels last: "x0:x1,y0:y1" and "a:b"."""
        (y0, y1), (x0, x1) = self.ranges[-2:]
        more = [f"{a}:{b}" for a, b in reversed(self.ranges[:-2])]
        return f"{x0}:{x1},{y0}:{y1}" + "".join(f" {part}" for part in more)

    def header(self, header: Header) -> Header:
        """The header of the part: NAXISn, CRPIXn (with SIP's origin), LTVn and CNPIXn move along.

        SIP and TPV polynomials count from CRPIX, so they stay as they are.
        """
        cut = header.copy()
        for number, (start, end) in enumerate(reversed(self.ranges), 1):
            if f"NAXIS{number}" in cut:
                cut[f"NAXIS{number}"] = end - start
            for card in [c for c in cut if re.fullmatch(rf"CRPIX{number}[A-Z]?", c)]:
                cut[card] = cut[card] - start
            if start and f"LTV{number}" in cut:
                cut[f"LTV{number}"] = cut[f"LTV{number}"] - start
            if start and f"CNPIX{number}" in cut:  # of a plate of the DSS, by which DS9 goes
                cut[f"CNPIX{number}"] = cut[f"CNPIX{number}"] + start
        return cut


def find_section(
    shape: tuple[int, ...], header: Header, region: str | Path | None, channels: str | None
) -> Section | None:
    """The section that ``region`` and ``channels`` mean on an image ``(..., y, x)``.

    Args:
        shape: of the whole image. header: with its WCS.
        region: "x0:x1,y0:y1", pixels counted from 0, ends excluded, as NumPy counts; or a DS9
            region, in a file or as text, such as "image;box(120,80,64,64,0)" or
            'fk5;circle(10:00:28,+02:12:21,5")': the box around it is cut. Clipped to the image.
        channels: "a:b", from 0, end excluded, along the spectral axis.

    Raises:
        OptionError: a text that is neither; the library of regions is not installed.
        ShapeError: a region beside the image, channels that do not exist.
    """
    if region is None and channels is None:
        return None
    ranges = [(0, length) for length in shape]
    if region is not None:
        ranges[-2:] = _box(str(region), shape, header)
    if channels is not None:
        axis = spectral_axis(header, len(shape))
        if axis is None:
            raise OptionError(
                f"--channels given for an image of shape {shape}: it has no channels."
            )
        ranges[axis] = _range(channels, shape[axis])
    return Section(tuple(ranges), tuple(shape))


def _range(text: str, length: int) -> tuple[int, int]:
    match = RANGE.fullmatch(text)
    if match is None:
        raise OptionError(f"channels {text!r} is no range: write a:b, such as 10:20.")
    start, end = int(match[1] or 0), int(match[2] or length)
    if not 0 <= start < end <= length:
        raise ShapeError(f"channels {text!r} are not in 0:{length}: give a range inside.")
    return start, end


def _box(text: str, shape: tuple[int, ...], header: Header) -> list[tuple[int, int]]:
    """Ranges of y and x."""
    rows, columns = shape[-2:]
    match = PIXELS.fullmatch(text)
    if match is not None:
        x = int(match[1] or 0), int(match[2] or columns)
        y = int(match[3] or 0), int(match[4] or rows)
    else:
        x, y = _ds9(text, header)
    x, y = (max(x[0], 0), min(x[1], columns)), (max(y[0], 0), min(y[1], rows))
    if x[0] >= x[1] or y[0] >= y[1]:
        raise ShapeError(
            f"the region {Path(text).name!r} does not touch the image of {columns} x {rows} "
            "pixels: check its coordinates."
        )
    return [y, x]


def _ds9(text: str, header: Header) -> tuple[tuple[int, int], tuple[int, int]]:
    """Ranges of x and y around DS9 regions."""
    path = Path(text.split("\n")[0]).expanduser()
    is_file = len(text) < 4096 and path.is_file()
    if not is_file and "(" not in text:
        raise OptionError(
            f"the region {text!r} is neither x0:x1,y0:y1 nor a DS9 region nor a file of them."
        )
    try:
        from regions import Regions
    except ImportError:
        raise OptionError(
            "DS9 regions need a library: pip install 'rimaging[astro]', or give x0:x1,y0:y1."
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of properties such as colours
            content = path.read_text(encoding="utf-8") if is_file else text
            physical = PHYSICAL.search(content) is not None
            if physical and IMAGE.search(content):
                raise OptionError(
                    f"the region {path.name!r} mixes physical and image coordinates: save it in one"
                )
            content = PHYSICAL.sub(r"\1image", content)  # which the library does not know
            found = list(Regions.parse(content, format="ds9"))
    except OptionError:
        raise
    except Exception as error:  # the parser has many
        raise OptionError(f"the region {path.name!r} is not understood: {_line(error)}.") from error
    if not found:
        raise OptionError(f"the region {path.name!r} holds no region: write one with DS9.")
    found = [one for one in found if one.meta.get("include", 1)] or found
    boxes = [_bounds(one, header, physical) for one in found]
    x0, x1, y0, y1 = (list(side) for side in zip(*boxes, strict=True))
    return (min(x0), max(x1)), (min(y0), max(y1))


def _bounds(region: Any, header: Header, physical: bool) -> tuple[int, int, int, int]:
    """``(x0, x1, y0, y1)`` of one region, pixels from 0, ends excluded.

    physical: its pixels are those of the detector, ``image = LTM physical + LTV``.
    """
    in_sky = hasattr(region, "to_pixel")
    if in_sky:
        from astropy.wcs import WCS

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                sky = WCS(header).celestial
                if not sky.has_celestial:
                    raise OptionError(
                        "the region is in sky coordinates and the image has no WCS: give it in "
                        "pixels, x0:x1,y0:y1."
                    )
                region = region.to_pixel(sky)
        except OptionError:
            raise
        except Exception as error:  # of wcslib and of the conversion
            raise OptionError(
                f"the region cannot be placed on the image by its WCS ({_line(error)}): give "
                "x0:x1,y0:y1."
            ) from error
    try:
        box = region.bounding_box
    except (ValueError, OverflowError):  # NaN: places that the projection does not show
        raise ShapeError("the region does not touch the image: check its coordinates.") from None
    if in_sky or not physical:
        return box.ixmin, box.ixmax, box.iymin, box.iymax
    x = _from_detector(1, box.ixmin, box.ixmax, header)
    return (*x, *_from_detector(2, box.iymin, box.iymax, header))


def _from_detector(number: int, start: int, end: int, header: Header) -> tuple[int, int]:
    """A range of physical pixels, counted from 0, as one of the image along a FITS axis."""
    scale = float(header.get(f"LTM{number}_{number}", 1.0))
    shift = float(header.get(f"LTV{number}", 0.0))
    low, high = sorted(scale * (edge + 0.5) + shift for edge in (start, end))
    return math.floor(low + 0.5) - 1, math.ceil(high - 0.5)


def _line(error: Exception) -> str:
    text = str(error).strip()
    return (text.splitlines()[0] if text else type(error).__name__)[:100]
