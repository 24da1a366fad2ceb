"""Blocks of images too large to load: FITS, tile-compressed FITS, .npy, Zarr, or made up.

A source is described by plain values (`describe`), so that each worker opens it by itself
(`open_source`), and every image is ``(channel, y, x)``: leading axes are flattened.
"""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from rimaging.errors import DataError, FormatError, RimagingError
from rimaging.mosaic.task import digest, imported
from rimaging.mosaic.tiles import Unit

Slices = tuple[slice, slice, slice]
Description = dict[str, Any]

SAMPLES = 64
SAMPLE_BYTES = 1 << 16


class Source(Protocol):
    """Gives blocks of an image."""

    def read(self, block: Slices) -> NDArray[Any]:
        """The block ``(channel, y, x)`` as float32 of native byte order."""


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


class Raw:
    """Plain values at an offset of a file, of any byte order and with the scale of FITS.

    Rows are read by position: nothing is mapped, so that memory does not grow with the image.
    """

    def __init__(self, description: Description) -> None:
        self.path = Path(description["path"])
        self.offset: int = description["offset"]
        self.dtype = np.dtype(description["dtype"])
        self.shape: list[int] = description["shape"]
        self.scale: float = description.get("scale", 1.0)
        self.zero: float = description.get("zero", 0.0)
        self.blank: int | None = description.get("blank")
        self.file = os.open(self.path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "file"):
            os.close(self.file)

    def read(self, block: Slices) -> NDArray[Any]:
        """The block; raises FormatError where the file ends before it."""
        channels, rows, columns = block
        _, height, width = self.shape
        item = self.dtype.itemsize
        raw = np.empty([part.stop - part.start for part in block], self.dtype)
        length = raw.shape[-1] * item
        whole = columns.start == 0 and columns.stop == width
        for i, channel in enumerate(range(channels.start, channels.stop)):
            # whole rows lie together
            step = raw.shape[1] if whole else 1
            for j in range(0, raw.shape[1], step):
                start = ((channel * height + rows.start + j) * width + columns.start) * item
                target = raw[i, j : j + step].view(np.uint8).data.cast("B")
                self._fill(target, self.offset + start, length * step)
        return self._physical(raw)

    def _fill(self, target: memoryview, position: int, length: int) -> None:
        done = 0
        while done < length:
            got = os.preadv(self.file, [target[done:]], position + done)
            if got == 0:
                raise FormatError(f"{self.path.name!r} ends within its data: fetch it again")
            done += got

    def _physical(self, raw: NDArray[Any]) -> NDArray[Any]:
        if self.scale == 1 and self.zero == 0 and self.blank is None:
            return raw.astype(np.float32)
        values = (raw.astype(np.float64) * self.scale + self.zero).astype(np.float32)
        if self.blank is not None:
            values[raw == self.blank] = np.nan
        return values


class Section:
    """A tile-compressed FITS image, expanded where it is asked for.

    The file is opened for each block: closing it unmaps what was read.
    """

    def __init__(self, description: Description) -> None:
        self.path = Path(description["path"])
        self.extension: int = description["extension"]
        self.shape: list[int] = description["shape"]
        self.lead: list[int] = description["lead"]

    def read(self, block: Slices) -> NDArray[Any]:
        """The block; raises FormatError where it cannot be expanded."""
        from astropy.io import fits

        channels, rows, columns = block
        result = np.empty([part.stop - part.start for part in block], np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # non-standard cards of old files
            try:
                with fits.open(self.path, memmap=True) as hdus:
                    section = hdus[self.extension].section
                    for i, channel in enumerate(range(channels.start, channels.stop)):
                        lead = np.unravel_index(channel, self.lead) if self.lead else ()
                        key = (*(int(n) for n in lead), rows, columns)
                        result[i] = np.asarray(section[key])
            except Exception as error:  # astropy and its codecs raise what they like
                raise FormatError(
                    f"{self.path.name!r}[{self.extension}] cannot be expanded at y {rows.start}, "
                    f"x {columns.start} ({type(error).__name__}: {str(error)[:80]}): fetch it again"
                ) from None
        return result


class ZarrArray:
    """An array in a Zarr store, local or any that fsspec knows."""

    def __init__(self, description: Description) -> None:
        self.name: str = description["path"]
        self.lead: list[int] = description["lead"]
        self.array: Any = _zarr(self.name)

    def read(self, block: Slices) -> NDArray[Any]:
        """The block; raises FormatError for chunks that are damaged."""
        channels, rows, columns = block
        try:
            if len(self.lead) == 1:
                return np.asarray(self.array[block], np.float32)
            result = np.empty([part.stop - part.start for part in block], np.float32)
            for i, channel in enumerate(range(channels.start, channels.stop)):
                lead = np.unravel_index(channel, self.lead) if self.lead else ()
                result[i] = self.array[(*(int(n) for n in lead), rows, columns)]
        except Exception as error:  # whatever the store and its codecs raise
            raise FormatError(
                f"{Path(self.name).name!r} cannot be read at y {rows.start}, x {columns.start} "
                f"({type(error).__name__}: {str(error)[:80]}): fetch it again"
            ) from None
        return result


class Generated:
    """Values of a function of the coordinates, ``factory(settings)(block)``: no file at all."""

    def __init__(self, description: Description) -> None:
        self.function = imported(description["factory"])(description.get("settings", {}))

    def read(self, block: Slices) -> NDArray[Any]:
        """The block."""
        return np.asarray(self.function(block), np.float32)


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
    bare, _, extension = text.partition("[") if text.endswith("]") else (text, "", "")
    path = Path(bare).expanduser()
    if len(scheme) > 1 or path.is_dir():
        return _describe_zarr(text if len(scheme) > 1 else str(path.resolve()))
    if not path.is_file():
        raise FormatError(f"{path.name!r} does not exist, expected a file: check the path")
    if path.suffix == ".npy":
        return _describe_npy(path.resolve())
    from rimaging.mosaic.fits_layout import describe_fits

    found = describe_fits(path.resolve(), extension.rstrip("]") or None)
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
        "offset": path.stat().st_size - array.nbytes,
        "dtype": array.dtype.str,
        "shape": flattened(array.shape),
        "full_shape": list(array.shape),
        "identity": file_identity(path),
    }


def _zarr(name: str) -> Any:
    """An array of a store, or the only one of a group."""
    import zarr

    try:
        found = zarr.open(name, mode="r")
        if isinstance(found, zarr.Group):
            arrays = dict(found.arrays())
            if "image" in arrays:
                return arrays["image"]
            if len(arrays) != 1:
                raise FormatError(
                    f"{name!r} holds the arrays {', '.join(sorted(arrays)) or '(none)'}: give the "
                    "path of one of them"
                )
            (found,) = arrays.values()
        return found
    except RimagingError:
        raise
    except Exception as error:  # whatever the store raises
        raise FormatError(
            f"{name!r} is no Zarr store, or damaged ({type(error).__name__}: {str(error)[:80]})"
        ) from None


def _describe_zarr(name: str) -> Description:
    array = _zarr(name)
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
