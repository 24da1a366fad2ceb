"""Images too large to load, said in plain values: FITS, .npy, Zarr, or made up.

A source is described (`describe`) so that each worker opens it by itself (`open_source`) and reads
blocks of it (`rimaging.mosaic.readers`).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from rimaging.errors import DataError, FormatError
from rimaging.mosaic.readers import (
    Description,
    Generated,
    Raw,
    Section,
    Slices,
    Source,
    ZarrArray,
    open_zarr,
)
from rimaging.mosaic.task import digest
from rimaging.mosaic.tiles import Unit

__all__ = [
    "Description",
    "Slices",
    "Source",
    "check_shape",
    "check_unchanged",
    "describe",
    "file_identity",
    "flattened",
    "open_source",
    "read_unit",
]

SAMPLES = 64
SAMPLE_BYTES = 1 << 16


def open_source(description: Description) -> Source:
    """The source of a description; opened once in a process."""
    import json

    return _opened(json.dumps(description, sort_keys=True))


@lru_cache(maxsize=16)
def _opened(text: str) -> Source:
    import json

    description: Description = json.loads(text)
    kinds: dict[str, Callable[[Description], Source]] = {
        "raw": Raw,
        "section": Section,
        "zarr": ZarrArray,
        "generated": Generated,
    }
    return kinds[description["kind"]](description)


def read_unit(description: Description, unit: Unit) -> NDArray[Any]:
    """The block of a unit."""
    return open_source(description).read(unit.block)


def describe(source: str | Path) -> Description:
    """Say what a file or store holds: where its values are, its shape, and what identifies it.

    ``file.fits[SCI]`` chooses an extension; by default SCI, or else the first image.

    Raises FormatError for what is no image of these formats, and for files that end early.
    """
    text = str(source)
    scheme = urlsplit(text).scheme
    # a name may have brackets of its own, and those of its folders are none of an extension
    named = None if Path(text).expanduser().exists() else re.fullmatch(r"(.*)\[([^\[\]]+)\]", text)
    path = Path(text if named is None else named[1]).expanduser()
    if len(scheme) > 1 or path.is_dir():
        return _describe_zarr(text if len(scheme) > 1 else str(path.resolve()))
    if not path.is_file():
        raise FormatError(f"{path.name!r} does not exist, expected a file: check the path")
    if path.suffix == ".npy":
        return _describe_npy(path.resolve())
    from rimaging.mosaic.fits_layout import describe_fits

    found = describe_fits(path.resolve(), None if named is None else named[2])
    return found | {"identity": file_identity(path)}


def file_identity(path: Path) -> dict[str, Any]:
    """Size, time of the last change, and sha256 of the start and of samples of a file.

    Not of all of it: a mosaic is read once, and not twice to know its name.
    """
    status = path.stat()
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        for i in range(SAMPLES):
            file.seek(i * max(0, status.st_size - SAMPLE_BYTES) // max(1, SAMPLES - 1))
            hashed.update(file.read(SAMPLE_BYTES))
    return {
        "file": path.name,
        "size": status.st_size,
        "modified": status.st_mtime_ns,
        "sha256 of samples": hashed.hexdigest(),
    }


def check_unchanged(description: Description) -> None:
    """Raise DataError for a file or store that is not any more what its description says."""
    path = description.get("path")
    if path is None or "identity" not in description or not Path(path).exists():
        return  # made up, or read and gone
    if describe(path)["identity"] != description["identity"]:
        raise DataError(
            f"{Path(path).name!r} changed while it was read, so that tiles are of two files: begin "
            "anew with --overwrite"
        )


def _describe_npy(path: Path) -> Description:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise FormatError(f"{path.name!r} is no .npy file, or damaged ({error})") from None
    if array.dtype.kind not in "buif" or array.ndim < 2 or not array.flags.c_contiguous:
        raise FormatError(
            f"{path.name!r} holds {array.dtype} of shape {array.shape}: save real numbers (..., y, "
            "x) in C order"
        )
    return {
        "kind": "raw",
        "path": str(path),
        "offset": array.offset,  # other arrays may follow in the file
        "dtype": array.dtype.str,
        "shape": flattened(array.shape),
        "full_shape": list(array.shape),
        "identity": file_identity(path),
    }


def _describe_zarr(name: str) -> Description:
    array = open_zarr(name)
    if array.dtype.kind not in "buif" or array.ndim < 2:
        raise FormatError(f"{name!r} holds {array.dtype} of shape {array.shape}: no image")
    return {
        "kind": "zarr",
        "path": name,
        "shape": flattened(array.shape),
        "full_shape": list(array.shape),
        "lead": list(array.shape[:-2]),
        "identity": _store_identity(name, array),
    }


def _store_identity(name: str, array: Any) -> dict[str, Any]:
    """Of a local store the names, sizes and times of all its files; of others the metadata."""
    identity = {"file": Path(name).name, "metadata": digest(str(array.metadata.to_dict()))}
    folder = Path(name)
    if folder.is_dir():
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        stats = [
            (str(p.relative_to(folder)), p.stat().st_size, p.stat().st_mtime_ns) for p in files
        ]
        identity["files"] = digest(str(stats))
    return identity


def flattened(shape: tuple[int, ...] | list[int]) -> list[int]:
    """``(..., y, x)`` as ``(channel, y, x)``."""
    return [math.prod(shape[:-2]), *shape[-2:]]


def check_shape(description: Description) -> tuple[int, int, int]:
    """The shape ``(channel, y, x)`` of a source."""
    channels, height, width = (int(n) for n in description["shape"])
    if min(channels, height, width) < 1:
        raise DataError(f"the image has shape {description['shape']}: there is nothing in it")
    return channels, height, width
