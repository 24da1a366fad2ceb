"""FITS files opened with care: checked against their bytes, read part by part."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from rimaging.datasets.fits_structure import Block, check_sums, walk
from rimaging.datasets.guard import check_declared, existing_file, expanded
from rimaging.datasets.section import Section
from rimaging.errors import FormatError, RimagingError

if TYPE_CHECKING:
    from astropy.io.fits import HDUList, Header

__all__ = ["SMALL", "FitsFile", "is_compressed", "open_fits", "split_extension", "whole_header"]

# What astropy raises on damaged files, besides its own VerifyError.
DAMAGE = (OSError, ValueError, TypeError, LookupError, EOFError, MemoryError)

SMALL = 256 << 20
"""Bytes: a larger file is not read whole (for its checksum, its sha256) where a section will do."""

SLAB = 16 << 20  # values that are converted at once

Extension = str | int | tuple[str, int]


def split_extension(path: str | Path) -> tuple[Path, Extension | None]:
    """Split "file.fits[SCI,2]" into the path and the extension: name, number, or both."""
    match = re.fullmatch(r"(.*)\[([^\[\]]+)\]", str(path))
    if match is None or Path(path).exists():
        return Path(path), None
    name, _, version = match[2].partition(",")
    if name.strip().isdigit() and not version:
        return Path(match[1]), int(name)
    try:
        return Path(match[1]), (name.strip(), int(version)) if version else name.strip()
    except ValueError:
        raise FormatError(
            f"extension [{match[2]}] is unclear, expected [1], [SCI] or [SCI,2]."
        ) from None


@dataclass(frozen=True)
class FitsFile:
    """An open FITS file: astropy's HDUs, and the bytes behind them."""

    name: str
    hdus: HDUList
    blocks: list[Block]
    raw: IO[bytes]
    stored: int

    def images(self) -> list[int]:
        """Numbers of the HDUs that hold an image."""
        return [i for i, hdu in enumerate(self.hdus) if hdu.is_image and len(hdu.shape) >= 2]

    def listing(self) -> str:
        """The images, for messages."""
        return ", ".join(
            f"[{i}] {self.hdus[i].name or 'unnamed'} {self.hdus[i].shape}"
            for i in self.images()[:8]
        )

    def array(
        self, index: int, section: Section | None = None, *, flags: bool = False
    ) -> np.ndarray:
        """The image of an HDU, or its part in a section: float32, or integers for ``flags``.

        Scaled (BSCALE, BZERO), BLANK as NaN (0 for ``flags``), in native byte order. Only the part
        is read, slab by slab. The checksum is compared first, unless it would need a
        large file to be read whole for a part of it.

        Raises FormatError for a wrong checksum.
        """
        if section is None or self.stored <= SMALL:
            check_sums(self.raw, self.blocks[index], f"{self.name!r}[{index}]")
        hdu = self.hdus[index]
        shape = tuple(hdu.shape)
        part = None if section is None else section.index(shape)
        if part is None:
            part = tuple(slice(0, n) for n in shape)
        lengths = tuple(s.stop - s.start for s in part)
        out = np.empty(lengths, _flag_type(hdu) if flags else np.float32)
        bits = int(hdu.header.get("BITPIX", -32))
        blank, zero = hdu.header.get("BLANK") if bits > 0 else None, hdu.header.get("BZERO", 0)
        for lead in np.ndindex(lengths[:-2]):
            outer = tuple(s.start + i for s, i in zip(part, lead, strict=False))
            plane = out[lead]
            step = max(1, SLAB // max(lengths[-1], 1))
            for first in range(0, lengths[-2], step):
                last = min(first + step, lengths[-2])
                rows = slice(part[-2].start + first, part[-2].start + last)
                values = self._read(hdu, outer, rows, part[-1])
                # astropy takes a BLANK of 0 for none, and none for that of unsigned integers
                missed = isinstance(blank, int) and (blank == 0 or values.dtype.kind in "iu")
                absent = values == zero + blank if missed else None
                if flags and values.dtype.kind == "f":
                    values = np.nan_to_num(values)
                plane[first:last] = values
                if absent is not None and not (flags and blank == 0):
                    plane[first:last][absent] = 0 if flags else np.nan
        if flags and bits in (8, 16):
            out &= (1 << bits) - 1  # the sign of a short integer is a bit like others
        return out

    def _read(self, hdu: Any, outer: tuple[int, ...], rows: slice, columns: slice) -> np.ndarray:
        """Rows and columns of one plane; whole rows where that is one read instead of many."""
        whole = hdu.shape[-1]
        wanted = columns.stop - columns.start
        if is_compressed(hdu) or 8 * wanted < whole:
            return np.asarray(hdu.section[(*outer, rows, columns)])
        return np.asarray(hdu.section[(*outer, rows, slice(0, whole))])[:, columns]


@contextmanager
def open_fits(path: Path) -> Iterator[FitsFile]:
    """Open a FITS file after comparing every header with the bytes that are there.

    A .gz or .bz2 file is expanded in memory first. Raises FormatError for damaged and truncated
    files, negative or absurd sizes.
    """
    from astropy.io import fits

    path = existing_file(path)
    with path.open("rb") as file:
        packed = file.read(3)[:2] in (b"\x1f\x8b", b"BZ")
        content: IO[bytes] = expanded(path) if packed else file
        stored = content.getbuffer().nbytes if isinstance(content, io.BytesIO) else _size(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # non-standard cards of old files
            try:
                blocks = walk(content, stored, path.name)
                content.seek(0)
                source: Any = content if packed else path
                with fits.open(source, memmap=False, lazy_load_hdus=True) as hdus:
                    for index, hdu in enumerate(hdus):
                        if hdu.is_image and hdu.shape:
                            count = int(np.prod(hdu.shape, dtype=object))
                            check_declared(4 * count, stored, f"{path.name!r}[{index}]")
                    yield FitsFile(path.name, hdus, blocks, content, stored)
            except RimagingError:
                raise
            except (*DAMAGE, fits.VerifyError) as error:
                reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
                raise FormatError(
                    f"{path.name!r} is no FITS file, or damaged ({reason}): fetch it again."
                ) from error


def is_compressed(hdu: Any) -> bool:
    """Whether an HDU is a tile-compressed image."""
    from astropy.io import fits

    return isinstance(hdu, fits.CompImageHDU)


def whole_header(file: FitsFile, index: int) -> Header:
    """Give the header of the image, followed by the primary cards that it lacks."""
    header = file.hdus[index].header.copy()
    if index > 0:
        header.extend(file.hdus[0].header.copy(strip=True), unique=True)
    return header


def _flag_type(hdu: Any) -> type:
    """Integers of flags: 32 bits, or 64 where the file has as many or unsigned ones."""
    header = hdu.header
    wide = header.get("BITPIX") == 64 or (
        header.get("BITPIX") == 32 and float(header.get("BZERO", 0)) == 2**31
    )
    return np.int64 if wide else np.int32


def _size(path: Path) -> int:
    return path.stat().st_size
