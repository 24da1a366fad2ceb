"""A folder of files that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rimaging.errors import FormatError

__all__ = ["check_folder", "is_folder", "whole_folder"]


def is_folder(path: str | Path) -> bool:
    """Whether a path names a folder to be filled with files: it ends with /."""
    return str(path).endswith(("/", os.sep))


def check_folder(path: Path, suffix: str, *, overwrite: bool) -> None:
    """Refuse a path at which no folder of ``suffix`` files may be put.

    An empty folder may be filled, one of nothing but such files replaced with ``overwrite``.

    Raises FormatError for anything else that is there, and where the parent folder is absent.
    """
    if not path.parent.is_dir():
        raise FormatError(f"the folder of {path.name!r} does not exist: create it first.")
    if not path.exists():
        return
    if not path.is_dir():
        raise FormatError(f"{path.name!r} is a file, expected a folder: choose another name.")
    inside = list(path.iterdir())
    if not inside:
        return
    if not overwrite:
        raise FormatError(f"{path.name!r} exists: choose another name, or overwrite=True.")
    if not all(entry.is_file() and entry.name.endswith(suffix) for entry in inside):
        raise FormatError(
            f"{path.name!r} holds more than {suffix} files, and is not replaced: choose another "
            "name, or empty it yourself."
        )


@contextmanager
def whole_folder(path: Path, suffix: str, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder beside ``path`` that takes its name once the block has ended well.

    Raises FormatError as `check_folder`, and where the disk refuses.
    """
    check_folder(path, suffix, overwrite=overwrite)
    try:
        part = Path(tempfile.mkdtemp(prefix=".writing-", dir=path.parent))
    except OSError as error:
        raise FormatError(f"cannot write beside {path.name!r}: {error.strerror}.") from error
    old = part.with_name(part.name + ".old")
    try:
        yield part
        for file in part.iterdir():
            with file.open("rb") as written:
                os.fsync(written.fileno())
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o777 & ~mask)  # mkdtemp gives 0700
        if path.exists():
            path.replace(old)
        part.replace(path)
    except OSError as error:
        if old.exists() and not path.exists():
            old.replace(path)
        reason = error.strerror or type(error).__name__
        raise FormatError(f"{path.name!r} was not written: {reason}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
