"""The bones of a FITS file, read from its bytes: what it declares, what is there, its checksums.

A header is believed only after its sizes were compared with the file, so that a lie costs
milliseconds and no memory. Checksums are summed in blocks: a file of any size takes a few MiB.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from rimaging.datasets.guard import check_declared
from rimaging.errors import FormatError

if TYPE_CHECKING:
    from astropy.io.fits import Header

__all__ = ["Block", "check_extensions", "check_sums", "walk"]

UNIT = 2880  # bytes; FITS counts in these
LONGEST = 64 << 20  # of a header; 800,000 cards
STEP = 4 << 20


@dataclass(frozen=True)
class Block:
    """One header and its data: where they begin and end in the file, in bytes."""

    header: Header
    start: int
    data: int
    end: int


def walk(file: IO[bytes], stored: int, name: str) -> list[Block]:
    """Read every header of a file of ``stored`` bytes and check what it declares.

    Raises FormatError for what is no FITS, for truncated files, negative, absurd and disagreeing
    sizes. Bytes after the last header that are no extension are ignored, as the standard asks.
    Source: FITS standard 4.0, sections 3 and 4.4.
    """
    blocks: list[Block] = []
    position = 0
    while position < stored:
        file.seek(position)
        first = file.read(8)
        if blocks and first != b"XTENSION":
            break
        if not blocks and first != b"SIMPLE  ":
            raise FormatError(f"{name!r} is no FITS file: it does not begin with SIMPLE.")
        header, length = _header(file, position, f"{name!r}[{len(blocks)}]")
        data = position + length
        size = _declared(header, f"{name!r}[{len(blocks)}]")
        if data + size > stored:
            raise FormatError(
                f"{name!r}[{len(blocks)}] declares {size} bytes of data and "
                f"{max(stored - data, 0)} are there: the file is truncated or its header is wrong, "
                "fetch it again."
            )
        if header.get("ZIMAGE") is True:
            _check_tiles(header, size, f"{name!r}[{len(blocks)}]")
        position = data + -(-size // UNIT) * UNIT
        blocks.append(Block(header, data - length, data, min(position, stored)))
    if not blocks:
        raise FormatError(f"{name!r} is empty, expected a FITS file: fetch it again.")
    return blocks


def check_sums(file: IO[bytes], block: Block, what: str) -> None:
    """Compare a header's DATASUM and CHECKSUM, where it has them, with the bytes of the file.

    Raises FormatError where they differ. Source: FITS standard 4.0, section 4.4.2.7, appendix J.
    """
    datasum, checksum = block.header.get("DATASUM"), block.header.get("CHECKSUM")
    if not (datasum or checksum):
        return
    total = _sum(file, block.data, block.end)
    wrong = False
    if datasum:
        wrong = not str(datasum).strip().isdigit() or int(datasum) != total
    if checksum and not wrong:
        whole = _folded(total + _sum(file, block.start, block.data))
        wrong = whole not in (0, 0xFFFFFFFF)
    if wrong:
        raise FormatError(
            f"{what} does not have the checksum that its header states: bytes were changed, fetch "
            "it again."
        )


def check_extensions(path: Path, extensions: Iterable[int]) -> None:
    """`check_sums` of some HDUs of a file, which is read in pieces and never held.

    Raises FormatError where they differ.
    """
    with path.open("rb") as file:
        blocks = walk(file, path.stat().st_size, path.name)
        for index in sorted(set(extensions)):
            check_sums(file, blocks[index], f"{path.name!r}[{index}]")


def _header(file: IO[bytes], position: int, what: str) -> tuple[Header, int]:
    """The header at a position, and its length in bytes."""
    from astropy.io import fits

    file.seek(position)
    parts: list[bytes] = []
    while True:
        unit = file.read(UNIT)
        parts.append(unit)
        if len(unit) < UNIT or len(parts) * UNIT > LONGEST:
            raise FormatError(f"{what} has a header without end: truncated, fetch it again.")
        if any(unit[i : i + 8] == b"END     " for i in range(0, UNIT, 80)):
            return fits.Header.fromstring(b"".join(parts)), len(parts) * UNIT


def _declared(header: Header, what: str) -> int:
    """Bytes of data, |BITPIX| / 8 x GCOUNT x (PCOUNT + product of the axes)."""
    count = _whole(header, "NAXIS", 0, what)
    if count > 999:
        raise FormatError(f"{what} has NAXIS {count}, expected 0 to 999: damaged.")
    axes = [_whole(header, f"NAXIS{i + 1}", 0, what) for i in range(count)]
    bits = header.get("BITPIX", 8)
    if bits not in (8, 16, 32, 64, -32, -64):
        raise FormatError(f"{what} has BITPIX {bits!r}, expected 8, 16, 32, 64, -32 or -64.")
    if not axes:
        return 0
    if header.get("GROUPS") is True and axes[0] == 0:
        axes = axes[1:]
    groups, more = _whole(header, "GCOUNT", 1, what), _whole(header, "PCOUNT", 0, what)
    return abs(int(bits)) // 8 * groups * (more + math.prod(axes))


def _check_tiles(header: Header, size: int, what: str) -> None:
    """A compressed image has one row for each of its tiles."""
    count = _whole(header, "ZNAXIS", 0, what)
    axes = [_whole(header, f"ZNAXIS{i + 1}", 0, what) for i in range(count)]
    tiles = [_whole(header, f"ZTILE{i + 1}", axes[0] if i == 0 else 1, what) for i in range(count)]
    rows = math.prod(-(-n // tile) if tile else 0 for n, tile in zip(axes, tiles, strict=True))
    if rows != _whole(header, "NAXIS2", 0, what):
        raise FormatError(
            f"{what} has {header.get('NAXIS2')} compressed tiles where an image of "
            f"{' x '.join(map(str, axes))} has {rows}: damaged, fetch it again."
        )
    check_declared(math.prod(axes) * 4, size, what)


def _whole(header: Header, name: str, default: int, what: str) -> int:
    value: Any = header.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise FormatError(f"{what} has {name} {value!r}, expected a length >= 0: damaged.")
    return value


def _sum(file: IO[bytes], start: int, end: int) -> int:
    """The ones' complement sum of 32-bit words; FITS pads with zeros, which add nothing."""
    file.seek(start)
    total, left = 0, end - start
    while left > 0 and (piece := file.read(min(STEP, left))):
        left -= len(piece)
        words = np.frombuffer(piece + bytes(-len(piece) % 4), dtype=">u4")
        total = _folded(total + int(words.sum(dtype=np.uint64)))
    return total


def _folded(total: int) -> int:
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total
