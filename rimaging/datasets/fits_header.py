"""FITS headers carried from the file that was read to the one that is written.

The whole header goes along, SIP, BUNIT and all: `WCS.to_header()` would drop them. Only cards that
describe the storage go, and the WCS moves with the pixels.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from rimaging.errors import ShapeError

if TYPE_CHECKING:
    from astropy.io.fits import Header

__all__ = ["carried", "rescale", "saturation", "shift", "without", "without_lookups"]

# Cards of the file that was read which would be wrong in the one that is written.
STRUCTURE = (
    *("SIMPLE", "XTENSION", "BITPIX", "EXTEND", "GROUPS", "PCOUNT", "GCOUNT", "INHERIT"),
    *("BSCALE", "BZERO", "BLANK", "CHECKSUM", "DATASUM", "DATAMIN", "DATAMAX"),
    *("EXTNAME", "EXTVER", "EXTLEVEL", "NEXTEND", "NAXIS", "TFIELDS", "THEAP", "BLOCKED"),
)
COMPRESSION = re.compile(
    r"Z(IMAGE|TENSION|SIMPLE|BITPIX|NAXIS\d*|TILE\d+|CMPTYPE|NAME\d+|VAL\d+|EXTEND|QUANTIZ|DITHER0|"
    r"BLANK|PCOUNT|GCOUNT|HECKSUM|DATASUM|MASKCMP|BLOCKED)|FZ(ALGOR|TILE|QVALUE|QMETHD)"
    r"|T(TYPE|FORM|UNIT|DIM)\d+|NAXIS\d+"
)
LOOKUPS = re.compile(
    r"(CPDIS|CQDIS|CPERR|CQERR|D2IMDIS|D2IMERR|D2IM|AXISCORR)\d*[A-Z]?|D[PQ]\d+\..*"
)
SIP = re.compile(r"(A|B|AP|BP)_(\d+)_(\d+)")


def carried(header: Header, old: tuple[int, ...], new: tuple[int, ...]) -> Header:
    """The header of an image of shape ``new`` on the sky of one of shape ``old``, both (..., y, x).

    Where the image is a whole number of times larger along both axes the WCS is rescaled; where it
    is wider (a PSF that reaches beyond the data) or a centre crop, CRPIX moves along.

    Raises ShapeError for anything else.
    """
    cards = header.copy()
    for card in list(cards):
        if card in STRUCTURE or COMPRESSION.fullmatch(card):
            cards.remove(card, ignore_missing=True, remove_all=True)
    cards = _each_once(cards)
    ratio = new[-1] / old[-1]
    if ratio >= 2 and ratio == int(ratio) and new[-2] == ratio * old[-2]:
        rescale(cards, ratio)
        return cards
    for number, axis in ((1, -1), (2, -2)):
        grown = new[axis] - old[axis]
        if grown % 2 or abs(grown) > old[axis] // 2:
            raise ShapeError(
                f"the image has {new[axis]} pixels where the header describes {old[axis]}: save "
                "without header, or crop the image evenly on both sides."
            )
        shift(cards, number, grown // 2)
    return cards


def _each_once(header: Header) -> Header:
    """The header without the repetitions of a keyword, of which readers see the first alone."""
    from astropy.io import fits

    seen: set[str] = set()
    kept = []
    for card in header.cards:
        comment = card.keyword in ("COMMENT", "HISTORY", "", "CONTINUE")
        if comment or card.keyword not in seen:
            kept.append(card)
        seen.add(card.keyword)
    return header if len(kept) == len(header.cards) else fits.Header(kept)


def shift(header: Header, number: int, pixels: float) -> None:
    """Move the reference pixel of one FITS axis, alternates (CRPIX1A) and LTV included."""
    for card in [c for c in header if re.fullmatch(rf"(CRPIX{number}[A-Z]?|LTV{number})", c)]:
        if pixels:
            header[card] = header[card] + pixels


def rescale(header: Header, factor: float) -> None:
    """Make pixels ``factor`` times smaller along both axes of the sky: CRPIX, CD or CDELT, SIP, LT.

        CRPIX' = factor (CRPIX - 1/2) + 1/2,  CD' = CD / factor,  A'_pq = factor^(1 - p - q) A_pq

    Source: Shupe et al. (2005), ASP Conference Series 347, 491, for SIP.
    """
    for card in list(header):
        match = SIP.fullmatch(card)
        if re.fullmatch(r"CRPIX[12][A-Z]?", card):
            header[card] = factor * (header[card] - 0.5) + 0.5
        elif re.fullmatch(r"CD\d_[12][A-Z]?|CDELT[12][A-Z]?", card):
            header[card] = header[card] / factor
        elif match is not None:
            header[card] = header[card] * factor ** (1 - int(match[2]) - int(match[3]))
        elif re.fullmatch(r"LTM[12]_[12]", card):
            header[card] = header[card] * factor
        elif re.fullmatch(r"LTV[12]", card):
            header[card] = factor * (header[card] - 0.5) + 0.5
        elif card in ("PIXSCALE", "PIXELSCL", "SECPIX", "PIXSCAL1", "PIXSCAL2"):
            header[card] = header[card] / factor


def without(header: Header, *names: str) -> Header:
    """The header without these cards; names may end in * for any ending."""
    cards = header.copy()
    for card in list(cards):
        if any(card == n or (n.endswith("*") and card.startswith(n[:-1])) for n in names):
            cards.remove(card, ignore_missing=True, remove_all=True)
    return cards


def without_lookups(header: Header) -> tuple[Header, list[str]]:
    """The header without distortions that are tables in other extensions, and a note on them.

    They describe the pixels of the whole detector, and no file can be opened that names them and
    lacks them. SIP and TPV polynomials stay.
    """
    found = [card for card in header if LOOKUPS.fullmatch(card)]
    if not found:
        return header, []
    cards = header.copy()
    for card in set(found):
        cards.remove(card, ignore_missing=True, remove_all=True)
    return cards, [f"distortion tables of the WCS left out ({', '.join(sorted(set(found))[:3])})"]


def saturation(header: Header) -> float:
    """The level at which a pixel is full, by its SATURATE card; infinite without one."""
    level = header.get("SATURATE")
    if isinstance(level, bool) or not isinstance(level, int | float) or not level > 0:
        return math.inf
    return float(level)
