"""FITS out: SCI, ERR, RES and DQ under the whole header of the input."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rimaging.errors import ShapeError

if TYPE_CHECKING:
    from astropy.io.fits import Header

__all__ = ["write_fits"]

# Cards of the file that was read which would be wrong in the one that is written.
STRUCTURE = (
    *("SIMPLE", "XTENSION", "BITPIX", "EXTEND", "GROUPS", "PCOUNT", "GCOUNT", "INHERIT"),
    *("BSCALE", "BZERO", "BLANK", "CHECKSUM", "DATASUM", "DATAMIN", "DATAMAX"),
    *("EXTNAME", "EXTVER", "EXTLEVEL", "NEXTEND"),
)


def write_fits(
    path: Path,
    arrays: dict[str, np.ndarray],
    header: Header | None,
    *,
    data_shape: tuple[int, ...] | None,
    history: str,
    version: str,
) -> None:
    """Write an empty primary and one extension per array: image SCI, uncertainty ERR, residual RES.

    Each carries the input's header, SIP and BUNIT included, with one HISTORY line in SCI. `mask` (1
    is measured) becomes DQ, 1 where nothing was measured. Where the image is wider than the data
    (a PSF that reaches beyond them) or a centre crop, CRPIX moves along. CHECKSUM and
    DATASUM are set.

    Raises ShapeError where the header describes another sampling.
    """
    from astropy.io import fits

    names = {
        "image": "SCI",
        "phase": "PHASE",
        "uncertainty": "ERR",
        "residual": "RES",
        "mask": "DQ",
    }
    primary = fits.PrimaryHDU()
    primary.header["DATE"] = (datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"), "UTC of writing")
    primary.header["RIMVER"] = (version, "version of rimaging")
    hdus = [primary]
    for key, extension in names.items():
        if key not in arrays:
            continue
        array = arrays[key]
        cards = None
        if header is not None:
            # the residual and the mask stay on the grid of the data
            shape = data_shape if data_shape is not None else array.shape
            cards = _cleaned(header, shape, array.shape)
            if extension != "SCI":
                for text in ("HISTORY", "COMMENT"):
                    cards.remove(text, ignore_missing=True, remove_all=True)
        values = np.asarray(1 - array, np.int16) if key == "mask" else np.asarray(array, np.float32)
        hdu = fits.ImageHDU(values, cards, name=extension)
        if extension == "SCI":
            hdu.header.add_history(history[:72])
        elif extension in ("DQ", "PHASE"):
            hdu.header.remove("BUNIT", ignore_missing=True)
        hdus.append(hdu)
    fits.HDUList(hdus).writeto(path, checksum=True, output_verify="silentfix")


def _cleaned(header: Header, old: tuple[int, ...], new: tuple[int, ...]) -> Header:
    """Copy the header without its structure, and move CRPIX with the edges of the image."""
    cards = header.copy()
    for name in (*STRUCTURE, *(f"NAXIS{i}" for i in range(10)), "NAXIS"):
        cards.remove(name, ignore_missing=True, remove_all=True)
    for axis, pixel in ((-1, "CRPIX1"), (-2, "CRPIX2")):
        grown = new[axis] - old[axis]
        if grown % 2 or abs(grown) > old[axis] // 2:
            raise ShapeError(
                f"the image has {new[axis]} pixels where the header describes {old[axis]}: save "
                "without header, or crop the image evenly on both sides."
            )
        for name in [n for n in cards if n == pixel or n[:-1] == pixel]:  # and CRPIX1A, ...
            cards[name] = cards[name] + grown // 2
    return cards
