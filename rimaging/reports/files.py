"""Files of reports, which appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

from rimaging.errors import FormatError

__all__ = ["write_whole"]


def write_whole(path: str | Path, content: bytes) -> Path:
    """Write a file under a temporary name, then rename it; over one of the same name.

    Raises FormatError where there is no folder for it, where it is one itself, or where the system
    refuses; nothing is left behind then.
    """
    target = Path(path).expanduser()
    if target.is_dir():
        raise FormatError(f"{target.name!r} is a folder: give the name of a file in it.")
    if not target.parent.is_dir():
        raise FormatError(f"the folder of {target.name!r} does not exist: create it first.")
    part = target.with_name(f".{target.name}.part")
    try:
        part.write_bytes(content)
        return part.replace(target)
    except OSError as error:
        raise FormatError(f"{target.name!r} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)
