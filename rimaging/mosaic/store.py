"""The output on its way: Zarr v3, one shard for each unit, every chunk with its CRC.

One task owns one whole shard: two writers of one shard lose data in silence. The key of a shard is
deleted before it is written, since an edge shard would else be read and merged, and a torn one
fails each retry. Fill values are written like others: that a shard exists says nothing.
"""

from __future__ import annotations

import os
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rimaging.errors import FormatError
from rimaging.mosaic.tiles import Grid, Unit

LARGEST_CHUNK, LEAST_CHUNK = 512, 64
_OPENING = threading.Lock()


def create(folder: Path, grid: Grid, planes: tuple[str, ...]) -> None:
    """An empty store: for each plane ``(channel, y, x)`` float32, NaN where not done."""
    import zarr
    from zarr.codecs import BytesCodec, Crc32cCodec

    group = zarr.open_group(folder, mode="w", zarr_format=3)
    for plane in planes:
        group.create_array(
            plane,
            shape=grid.shape,
            shards=grid.unit,
            chunks=(1, *(_chunk(size) for size in grid.unit[1:])),
            dtype="<f4",
            fill_value=np.float32(np.nan),
            serializer=BytesCodec(endian="little"),
            compressors=(Crc32cCodec(),),
            config={"write_empty_chunks": True},
            dimension_names=("channel", "y", "x"),
        )
    for path in [folder, *folder.rglob("*")]:
        _sync(path)


def write(folder: Path, plane: str, unit: Unit, values: NDArray[np.float32]) -> int:
    """Write the shard of a unit, safely on the disk before this returns: its size in bytes.

    Raises FormatError where the store is gone: the run was completed, or replaced, meanwhile.
    """
    if not (folder / "zarr.json").is_file():
        raise FormatError(f"{folder.name} is gone: its run is over, or was begun anew")
    array = _array(str(folder), plane)
    path = shard_path(folder, plane, unit, array.shards)
    path.unlink(missing_ok=True)
    array[unit.core] = values
    _sync(path, forget=True)
    _sync(path.parent)
    return path.stat().st_size


def read(folder: Path, plane: str, unit: Unit) -> NDArray[np.float32]:
    """The values of a unit; raises FormatError where its shard is absent, torn or changed."""
    array = _array(str(folder), plane)
    path = shard_path(folder, plane, unit, array.shards)
    if not path.is_file():
        raise FormatError(f"{unit} is not there")
    try:
        return np.asarray(array[unit.core], np.float32)
    except Exception as error:  # zarr raises ValueError, RuntimeError and others of its codecs
        reason = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        raise FormatError(f"{unit} is damaged ({reason})") from None


def shard_path(folder: Path, plane: str, unit: Unit, shards: tuple[int, ...] | None = None) -> Path:
    """The file of a unit's shard."""
    shards = _array(str(folder), plane).shards if shards is None else shards
    place = (str(core.start // size) for core, size in zip(unit.core, shards, strict=True))
    return folder / plane / "c" / Path(*place)


def sweep(folder: Path) -> None:
    """Remove what killed writers left behind."""
    for path in folder.rglob("*.partial"):
        path.unlink(missing_ok=True)


def _chunk(size: int) -> int:
    """The largest divisor of a shard's side that is no larger than `LARGEST_CHUNK`.

    Where that is below `LEAST_CHUNK`, as of a large prime, the least one above: chunks of a few
    pixels cost more than what is in them.
    """
    found = max(n for n in range(1, min(size, LARGEST_CHUNK) + 1) if size % n == 0)
    if found >= min(size, LEAST_CHUNK):
        return found
    return min(n for n in range(LARGEST_CHUNK + 1, size + 1) if size % n == 0)


@lru_cache(maxsize=16)
def _array(folder: str, plane: str) -> Any:
    import zarr

    try:
        # The setting at the opening is the array's for good. `with_config` would say it without
        # touching what all threads share, but it needs Zarr 3.1.6, and that NumPy 2.
        with _OPENING, zarr.config.set({"array.write_empty_chunks": True}):
            return zarr.open_array(f"{folder}/{plane}", mode="r+", zarr_format=3)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        raise FormatError(
            f"{Path(folder).name}/{plane} is no Zarr array, or its zarr.json was changed ({reason})"
        ) from None


def forget() -> None:
    """Forget open arrays: the store was moved, or made anew."""
    _array.cache_clear()


def _sync(path: Path, *, forget: bool = False) -> None:
    """Wait until a file is on the disk, and then ``forget`` what memory holds of it.

    It is not read before the end, and then from the disk, which is what is to be trusted; and the
    next shard takes the same memory, which costs a third of memory that nothing has used yet.
    """
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
        if forget and hasattr(os, "posix_fadvise"):  # not on macOS
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)
