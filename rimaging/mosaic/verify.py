"""Everything read again: checksums, receipts, completeness, seams."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rimaging.errors import FormatError
from rimaging.mosaic import store
from rimaging.mosaic.finalise import EXTENSIONS, appended, metadata_digest
from rimaging.mosaic.fits_layout import describe_fits
from rimaging.mosaic.fits_sums import folded, word_sum
from rimaging.mosaic.folder import Recipe, RunFolder
from rimaging.mosaic.readers import Raw
from rimaging.mosaic.receipts import Receipt, checksum, read_receipts
from rimaging.mosaic.tiles import Unit

PIECE = 1 << 24


@dataclass
class Verdicts:
    """What was found. problems: one line for each; none if the output is what was computed.

    units: that were read. missing: pixels without a value. given_up: units that the run left out,
    each of which is a problem. receipts: whether there were any to compare with, and not only the
    checksums of the file.
    """

    receipts: bool = True
    units: int = 0
    missing: int = 0
    given_up: int = 0
    seam: float | None = None
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For people."""
        if not self.receipts:
            head = "no receipts of a run are beside it: its checksums alone were compared"
            return [head, *self.problems, "damaged" if self.problems else "as it was written"]
        seam = "not measured" if self.seam is None else f"{self.seam:.2g} of the noise"
        head = f"{self.units} units read again; pixels without a value: {self.missing}; seam {seam}"
        return [head, *self.problems, "damaged" if self.problems else "all as it was computed"]


def verify(output: Path) -> Verdicts:
    """Read an output again, and compare it with the receipts in its `.run` folder.

    Without that folder, or where it is that of another output by now, the checksums in the file
    itself must do (FITS only).

    Raises FormatError for an output that does not exist or has neither.
    """
    if not output.exists():
        raise FormatError(f"{output.name!r} does not exist: check the path, or --resume its run")
    verdicts = Verdicts()
    run = RunFolder.beside(output)
    fits = output.is_file()
    if fits:
        verdicts.problems += fits_problems(output)
    if not (run.plan.is_file() and _is_of(run, output)):
        if not fits:
            raise FormatError(
                f"no {run.path.name!r} of {output.name!r} is beside it: verify needs its receipts"
            )
        if not verdicts.problems and not _has_checksums(output):
            raise FormatError(
                f"{output.name!r} states no checksums, and no {run.path.name!r} lies beside it: "
                "there is nothing to verify it with"
            )
        verdicts.receipts = False
        return verdicts
    recipe = run.recipe()
    verdicts.seam = (recipe.notes or {}).get("seam error")
    complete = _complete(run, verdicts)
    if fits and not _ends_with(output, appended(recipe)):
        verdicts.problems.append("the tables behind the image are missing or were changed")
    if not fits and complete.get("metadata") != metadata_digest(output):
        verdicts.problems.append("the metadata (zarr.json) were changed")
    done, _ = read_receipts(run.receipts)
    gaps = set(complete.get("missing", []))
    for plane in recipe.task.planes:
        try:
            read = _reader(output, recipe, plane, fits)
        except FormatError as error:
            verdicts.problems.append(f"{plane}: {error}")
            continue
        for unit in recipe.grid:
            if unit.index in gaps:
                continue
            _compare(verdicts, plane, unit, done.get(unit.index), read)
    return verdicts


def _is_of(run: RunFolder, output: Path) -> bool:
    """Whether a run is that of an output: ``out.fits`` and ``out.zarr`` have one ``out.run``."""
    try:
        name = json.loads(run.complete.read_text())["output"]
    except (OSError, ValueError, LookupError, TypeError):
        return True  # which is told as not completed
    return Path(str(name)).suffix == output.suffix


def _ends_with(path: Path, expected: bytes) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(expected)))
        return file.read() == expected if expected else True


def is_intact(output: Path) -> bool:
    """Whether the output of a completed run is there and is, by `verify`, what was computed.

    Units that the run gave up are no damage.
    """
    if not output.exists():
        return False
    try:
        verdicts = verify(output)
    except FormatError:
        return False
    return verdicts.receipts and len(verdicts.problems) == verdicts.given_up


def _compare(
    verdicts: Verdicts,
    plane: str,
    unit: Unit,
    receipt: Receipt | None,
    read: Callable[[Unit], np.ndarray[Any, Any]],
) -> None:
    verdicts.units += 1
    if receipt is None or plane not in receipt.planes:
        verdicts.problems.append(f"{plane}: {unit} has no receipt")
        return
    expected = receipt.planes[plane]
    verdicts.missing += expected.missing
    try:
        values = read(unit)
    except FormatError as error:
        verdicts.problems.append(f"{plane}: {error}")
        return
    if checksum(values) != expected.crc:
        verdicts.problems.append(f"{plane}: {unit} is not what was computed (CRC)")


def _reader(
    output: Path, recipe: Recipe, plane: str, fits: bool
) -> Callable[[Unit], np.ndarray[Any, Any]]:
    if not fits:
        store.forget()
        return lambda unit: store.read(output, plane, unit)
    name = EXTENSIONS.get(plane, plane.upper()[:60])
    layout = describe_fits(output, name)
    if tuple(layout["shape"]) != recipe.grid.shape:
        raise FormatError(f"[{name}] has shape {layout['shape']}, expected {recipe.grid.shape}")
    raw = Raw(layout)
    return lambda unit: raw.read(unit.core)


def _complete(run: RunFolder, verdicts: Verdicts) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(run.complete.read_text())
    except (OSError, ValueError):
        verdicts.problems.append("the run was not completed")
        return {}
    for index in found.get("missing", []):
        verdicts.given_up += 1
        verdicts.problems.append(f"unit {index} was given up: its pixels are NaN")
    return found


def fits_problems(path: Path) -> list[str]:
    """Each HDU whose bytes do not have the CHECKSUM that its header states."""
    problems = []
    try:
        for name, start, stop in _parts(path):
            with path.open("rb") as file:
                file.seek(start)
                total = 0
                for position in range(start, stop, PIECE):
                    piece = file.read(min(PIECE, stop - position))
                    total += word_sum(piece) if len(piece) % 4 == 0 else 1
            if folded(total) not in (0, 0xFFFFFFFF):
                problems.append(f"[{name}] does not have the CHECKSUM that its header states")
    except FormatError as error:
        problems.append(str(error))
    return problems


def _parts(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, first and last byte of each HDU that states a CHECKSUM."""
    from astropy.io import fits

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a damaged card is told by the sum
        try:
            with fits.open(path, memmap=True) as hdus:
                for i, hdu in enumerate(hdus):
                    place = hdu.fileinfo()
                    if "CHECKSUM" in hdu.header:
                        yield (
                            hdu.name or str(i),
                            place["hdrLoc"],
                            place["datLoc"] + place["datSpan"],
                        )
        except Exception as error:  # astropy raises what it likes on a damaged header
            raise FormatError(
                f"{path.name!r} cannot be read as FITS ({type(error).__name__})"
            ) from None


def _has_checksums(path: Path) -> bool:
    try:
        return any(True for _ in _parts(path))
    except FormatError:
        return False
