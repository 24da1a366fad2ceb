"""The output under its final name: when every unit is there, and not before."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rimaging import __version__
from rimaging.errors import FormatError
from rimaging.mosaic import store
from rimaging.mosaic.fits_sums import encoded, folded, word_sum
from rimaging.mosaic.folder import Recipe, RunFolder, write_whole
from rimaging.mosaic.receipts import Receipt, checksum
from rimaging.mosaic.tiles import Unit

if TYPE_CHECKING:
    from astropy.io.fits import Header

BLOCK = 2880
EXTENSIONS = {"image": "SCI", "uncertainty": "ERR", "residual": "RES"}
THREADS = 2


def finalise(run: RunFolder, output: Path, missing: frozenset[int] = frozenset()) -> list[str]:
    """Write the output from a run whose units are done, and keep `out.run` for `verify`.

    ``.zarr``: the store takes the final name. ``.fits``: an empty primary and one extension for
    each plane, written by position under a temporary name. Every unit is compared with its
    receipt; those that differ are told, lose their shard, and nothing gets the final name.

    Args:
        run: its folder. output: path with suffix. missing: units to leave NaN.
    """
    recipe = run.recipe()
    done = run.done(recipe)
    absent = set(range(len(recipe.grid))) - done.keys() - missing
    if absent:
        raise FormatError(
            f"{len(absent)} of {len(recipe.grid)} units are not done, the first is "
            f"{recipe.grid[min(absent)]}: --resume does them"
        )
    fits = output.suffix == ".fits"
    damaged = _to_fits(run, recipe, output, done) if fits else _checked(run, recipe, done)
    for index in damaged:
        # Done is what has a receipt and a shard: no clock decides which of two lines is the last.
        for plane in recipe.task.planes:
            store.shard_path(run.store, plane, recipe.grid[index]).unlink(missing_ok=True)
    if not damaged:
        facts: dict[str, Any] = {"output": output.name, "missing": sorted(missing)}
        if not fits:
            facts["metadata"] = metadata_digest(run.store)
        write_whole(run.complete, json.dumps(facts))
        settle(run, output)
    return [str(recipe.grid[index]) for index in damaged]


def settle(run: RunFolder, output: Path) -> None:
    """Give a complete store its final name, or remove one that is a FITS file by now.

    What a late worker left where the store was is none, and takes no name.
    """
    if run.store.is_dir():
        if output.suffix == ".fits" or not (run.store / "zarr.json").is_file():
            shutil.rmtree(run.store)
        else:
            shutil.rmtree(output, ignore_errors=True)
            run.store.rename(output)
    store.forget()


def reopen(run: RunFolder, recipe: Recipe, output: Path) -> None:
    """Make a completed run one that can go on, since its output is gone or damaged.

    The store is made anew, for its metadata may be what was damaged, and takes the shards of a Zarr
    output back. A FITS output stays where it is until another takes its name. Whether the output is
    this run's to replace was looked at before (`check_ours`).
    """
    store.forget()
    store.create(run.store, recipe.grid, recipe.task.planes)
    if output.suffix != ".fits":
        for plane in recipe.task.planes:
            shards = output / plane / "c"
            if shards.is_dir():
                shards.rename(run.store / plane / "c")
        shutil.rmtree(output, ignore_errors=True)  # a store without shards would read as NaN
    # Last: without it what is done is what has a receipt and a shard of its size.
    run.complete.unlink()


def check_ours(recipe: Recipe, output: Path) -> None:
    """Refuse, with FormatError, an output that is, or holds, what no run of ours wrote."""
    if output.exists() and not _is_ours(recipe, output):
        raise FormatError(
            f"{output.name!r} is, or holds, what this run did not write: move it, then --resume, "
            "or give --overwrite as well"
        )


def _is_ours(recipe: Recipe, output: Path) -> bool:
    if output.suffix != ".fits":
        known = {"zarr.json", *recipe.task.planes}
        return output.is_dir() and {path.name for path in output.iterdir()} <= known
    from astropy.io import fits

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a damaged file is what is expected here
        try:
            with fits.open(output, memmap=True) as hdus:
                return any("RIMTILE" in hdu.header for hdu in hdus)
        except (OSError, ValueError, TypeError, LookupError, fits.VerifyError):
            return False  # no FITS file, or not one any more


def appended(recipe: Recipe) -> bytes:
    """The bytes of the tables that stand behind the planes of a FITS output."""
    return b"".join(map(base64.b64decode, (recipe.notes or {}).get("extensions", [])))


def metadata_digest(folder: Path) -> str:
    """One digest of every zarr.json of a store."""
    texts = [path.read_bytes() for path in sorted(folder.rglob("zarr.json"))]
    return hashlib.sha256(b"".join(texts)).hexdigest()


def _units(run: RunFolder, recipe: Recipe, done: dict[int, Receipt]) -> Iterator[tuple[str, Unit]]:
    for plane in recipe.task.planes:
        for index in sorted(done):
            yield plane, recipe.grid[index]


def _checked(run: RunFolder, recipe: Recipe, done: dict[int, Receipt]) -> list[int]:
    """Units whose shard is not what their receipt says."""

    def wrong(item: tuple[str, Unit]) -> int | None:
        plane, unit = item
        try:
            same = (
                checksum(store.read(run.store, plane, unit)) == done[unit.index].planes[plane].crc
            )
        except (FormatError, KeyError):
            same = False
        return None if same else unit.index

    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(wrong, _units(run, recipe, done))
        return sorted({index for index in found if index is not None})


def _to_fits(run: RunFolder, recipe: Recipe, output: Path, done: dict[int, Receipt]) -> list[int]:
    shape = tuple(recipe.source.get("full_shape", recipe.grid.shape))
    size = 4 * recipe.grid.pixels
    padded = -(-size // BLOCK) * BLOCK
    temporary = output.with_name(f".{output.name}.part")
    damaged: set[int] = set()
    sums = dict.fromkeys(recipe.task.planes, 0)
    lock = threading.Lock()
    headers = {name: _header(recipe, name, shape) for name in recipe.task.planes}
    starts, position = {}, BLOCK
    for name in recipe.task.planes:
        position += len(_text(headers[name], 0))
        starts[name] = position
        position += padded
    rest = appended(recipe)
    file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)

    def place(item: tuple[str, Unit]) -> None:
        plane, unit = item
        try:
            values = store.read(run.store, plane, unit)
            same = checksum(values) == done[unit.index].planes[plane].crc
        except (FormatError, KeyError):
            same = False
        if not same:
            with lock:
                damaged.add(unit.index)
            return
        big = values.astype(">f4")
        _write_core(file, starts[plane], recipe.grid.shape, unit, big)
        with lock:
            sums[plane] += word_sum(big.view(np.uint8).reshape(-1))

    try:
        try:
            os.posix_fallocate(file, 0, position + len(rest))
        except OSError as error:
            raise FormatError(
                f"{position + len(rest)} bytes for {output.name!r} are not to be had "
                f"({error.strerror}): make room, then --resume; every tile is safe"
            ) from None
        gaps = sorted(set(range(len(recipe.grid))) - done.keys())
        for plane in recipe.task.planes:
            for index in gaps:
                unit = recipe.grid[index]
                big = np.full(unit.shape, np.nan, ">f4")
                _write_core(file, starts[plane], recipe.grid.shape, unit, big)
                sums[plane] += word_sum(big.view(np.uint8).reshape(-1))
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(place, _units(run, recipe, done)):
                pass
        os.pwrite(file, _text(_primary(), 0), 0)
        for name in recipe.task.planes:
            text = _text(headers[name], folded(sums[name]))
            os.pwrite(file, text, starts[name] - len(text))
        os.pwrite(file, rest, position)
        os.fsync(file)
    except BaseException:  # a full disk, an interrupt: what was allocated is wanted elsewhere
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(file)
    if damaged:
        temporary.unlink()
    else:
        temporary.replace(output)
    return sorted(damaged)


def _write_core(
    file: int, start: int, shape: tuple[int, int, int], unit: Unit, values: Any
) -> None:
    """Write a core where it belongs: whole rows at once, others one by one."""
    _, height, width = shape
    channels, rows, columns = unit.core
    whole = columns.stop - columns.start == width
    for i, channel in enumerate(range(channels.start, channels.stop)):
        step = values.shape[1] if whole else 1
        for j in range(0, values.shape[1], step):
            place = (channel * height + rows.start + j) * width + columns.start
            data = np.ascontiguousarray(values[i, j : j + step]).view(np.uint8).data.cast("B")
            written = 0
            while written < len(data):
                written += os.pwrite(file, data[written:], start + 4 * place + written)


def _primary() -> Header:
    from datetime import UTC, datetime

    from astropy.io import fits

    header = fits.PrimaryHDU().header
    header["EXTEND"] = True
    header["DATE"] = (datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"), "UTC of writing")
    header["RIMVER"] = (__version__, "version of rimaging")
    return header


def _header(recipe: Recipe, plane: str, shape: tuple[int, ...]) -> Header:
    from astropy.io import fits

    header = fits.Header()
    header["XTENSION"] = ("IMAGE", "Image extension")
    header["BITPIX"] = (-32, "array data type")
    header["NAXIS"] = len(shape)
    for i, length in enumerate(reversed(shape)):
        header[f"NAXIS{i + 1}"] = length
    header["PCOUNT"] = (0, "number of parameters")
    header["GCOUNT"] = (1, "number of groups")
    header["EXTNAME"] = EXTENSIONS.get(plane, plane.upper()[:60])
    header.extend(fits.Header.fromstring(recipe.header, sep="\n"), end=True)
    notes = recipe.notes or {}
    header["RIMTILE"] = (recipe.grid.unit[1], "pixels along the side of a tile")
    header["RIMHALO"] = (recipe.grid.halo, "pixels of halo around a tile")
    if notes.get("seam error") is not None:
        header["RIMSEAM"] = (float(f"{notes['seam error']:.3g}"), "seam error in units of noise")
    for keyword, (value, comment) in notes.get("cards", {}).items():
        header[keyword] = (value, comment)
    if plane == "image" and notes.get("history"):
        header.add_history(str(notes["history"])[:72])
    return header


def _text(header: Header, datasum: int) -> bytes:
    """The header in blocks of 2880 bytes, with its DATASUM and CHECKSUM."""
    header = header.copy()
    header["DATASUM"] = (str(datasum), "data unit checksum")
    header["CHECKSUM"] = ("0" * 16, "HDU checksum")
    total = word_sum(header.tostring().encode("ascii")) + datasum
    header["CHECKSUM"] = (encoded(total), "HDU checksum")
    text: bytes = header.tostring().encode("ascii")
    return text
