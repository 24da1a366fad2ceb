"""Guards of the readers: what a file declares must agree with what it stores."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import zlib
from pathlib import Path

from rimaging.errors import FormatError

__all__ = ["check_declared", "existing_file", "expanded", "identity"]

GIB = 1 << 30
FREE = 64 << 20  # bytes that anything may expand to
RATIO = 200  # beyond FREE: expanded over stored; noisy data hardly reach 10
AHEAD = 128 << 20  # bytes that a blank beginning may be ahead of that


def existing_file(path: str | Path) -> Path:
    """Give the path of a file that exists, or raise FormatError."""
    path = Path(path).expanduser()
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise FormatError(f"{path.name!r} {what}, expected a file: check the path.")
    return path


def check_declared(declared: int, stored: int, what: str) -> None:
    """Refuse arrays that declare over 4 GiB and over 1000 times what is stored of them."""
    if declared > 4 * GIB and declared > 1000 * stored:
        raise FormatError(
            f"{what} declares {declared / GIB:.4g} GiB and the file stores {stored} bytes of it, "
            "expected at most 1000 times as much: the file is damaged or hostile."
        )


def expanded(path: Path) -> io.BytesIO:
    """Expand a .gz or .bz2 file in memory, at most 200-fold beyond 64 MiB.

    Raises FormatError, within a second, for one that expands further; and for one that is truncated
    or damaged.
    """
    stored = path.stat().st_size
    limit = max(FREE, RATIO * stored)
    refused = FormatError(
        f"{path.name!r} holds {stored} bytes and expands beyond {limit >> 20} MiB or has a long "
        f"blank start, expected at most {RATIO}-fold: expand it yourself if you trust it."
    )
    buffer = io.BytesIO()
    try:
        with path.open("rb") as file:
            start = file.read(3)
            if start[:2] == b"\x1f\x8b" and stored > 18:
                file.seek(-4, io.SEEK_END)
                if int.from_bytes(file.read(4), "little") > limit:  # what gzip itself declares
                    raise refused
            file.seek(0)
            with (bz2.open if start == b"BZh" else gzip.open)(file, "rb") as stream:
                while block := stream.read(1 << 20):
                    size = buffer.tell() + len(block)
                    if size > min(limit, AHEAD + RATIO * file.tell()):
                        raise refused
                    buffer.write(block)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise FormatError(
            f"{path.name!r} is damaged or truncated ({error}): fetch it again."
        ) from error
    buffer.seek(0)
    return buffer


def identity(path: Path) -> str:
    """Give the sha256 of a file, which names its content without naming a person."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
