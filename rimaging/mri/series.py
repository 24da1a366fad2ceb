"""Volumes and films from a file to a file: a slice or frame is a unit of work, never less.

The run of a mosaic does the work (`rimaging.mosaic.run`): receipts with checksums, resuming,
quarantine. The output appears under its name when all of it is there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from rimaging import __version__
from rimaging.datasets.capacity import check_capacity, check_place
from rimaging.datasets.lead_axes import as_stored
from rimaging.datasets.losses import error_file, losses
from rimaging.datasets.save import save
from rimaging.mosaic import store
from rimaging.mosaic.cluster import check_scheduler
from rimaging.mosaic.driver import Outcome, Progress
from rimaging.mosaic.folder import Recipe, RunFolder
from rimaging.mosaic.lock import locked
from rimaging.mosaic.run import Workers, run
from rimaging.mosaic.task import Task
from rimaging.mosaic.tiles import Grid
from rimaging.mri.front import Front, front_of
from rimaging.mri.scan import Scan
from rimaging.mri.series_folder import check_folder, check_output, clear, remove, run_folder
from rimaging.mri.unit import ERROR, PLANES, facts_file

TASK = "rimaging.mri.unit:slice_process"
READER = "rimaging.mri.unit:reader"
WHOLE = ("kspace", "mask", "maps", "noise", "weights", "sets", "crop", "frames")


@dataclass(frozen=True)
class Written(Outcome):
    """What came of a run.

    chi2: over all slices, 1 if the noise is as stated. lost: what the format cannot hold, one line
    each. Both are empty where there is no output.
    """

    chi2: float | None = None
    lost: tuple[str, ...] = ()


def reconstruct_to(
    scan: Scan,
    output: str | Path,
    workers: Workers | None = None,
    *,
    like: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    allow_missing: bool = False,
    report: Callable[[Progress, str], None] | None = None,
) -> Written:
    """Reconstruct a scan slice by slice into ``output``, of any format of `rimaging.mri`.

    Every slice goes the way of `rimaging.mri.reconstruct`, and its image is the same, bit for bit
    where torch takes as many threads. Whatever happens on the way, the same call with ``resume``
    goes on where it was. With slices in quarantine there is no output, unless ``allow_missing``,
    which leaves them NaN. The residual, which is as large as k-space, is not kept.

    Args:
        scan: what to do. output: a file, or a folder of DICOM with / at its end; ``NAME.run``
            beside it holds the run until the output is complete. workers: by default this process.
        like: a DICOM series of the scan. resume: go on with a run that was stopped.
        overwrite: replace an output, or a run, that exists.
        allow_missing: finish where slices were given up.
        report: called after each slice with `Progress` and who works.

    Raises:
        OptionError: an output or run that is there, or another run than the one to resume.
        FormatError: files that cannot be read or written. DataError, ShapeError, WeightsError: as
        of `rimaging.mri.reconstruct`.
    """
    beside = None if scan.error_map is None else error_file(output)
    place = run_folder(output)
    folder = RunFolder.beside(place / "slices.zarr")
    check_folder(place)
    for path in (output, beside):
        if path is not None:
            check_output(path, folder, resume=resume, overwrite=overwrite)
            check_place(path, overwrite=overwrite or resume)
    if workers is not None and workers.scheduler is not None:
        check_scheduler(workers.scheduler, insecure=workers.insecure)  # before all the reading
    place.mkdir(exist_ok=True)
    begun = True
    try:
        with locked(place / "lock"):
            begun = resume and folder.plan.is_file()
            if begun:
                recipe = _resumed(scan, folder, place)
            else:
                clear(place)
                recipe = _recipe(scan, place)
            front = _front(recipe)
            for path in (output, beside):
                if path is not None:
                    check_capacity(path, front.whole, like=like)
            begun = True
            outcome = run(
                recipe,
                place / "slices.zarr",
                workers,
                resume=True,
                allow_missing=allow_missing,
                report=report,
            )
            if outcome.quarantined and not allow_missing:
                return Written(**vars(outcome))
            written = _assemble(
                recipe, front, place, output, outcome, like, overwrite=overwrite or resume
            )
    finally:
        if not begun:  # nothing was computed that another call could use
            remove(place)
    remove(place)
    return written


def _recipe(scan: Scan, place: Path) -> Recipe:
    asked = scan.asked()
    front = front_of(scan, place / "input")
    facts = place / "facts"
    facts.mkdir()
    size = front.provenance.get("recon_size") if scan.crop else None
    image = front.grid
    if size is not None:
        image = (*image[:-2], *(min(n, m) for n, m in zip(image[-2:], size, strict=True)))
    rows = int(np.prod(image[:-1]))
    settings: dict[str, Any] = {
        **{f.name: getattr(scan, f.name) for f in fields(scan) if f.name not in WHOLE},
        "weights": str(scan.weights_path) if scan.method == "rim" else None,
        "sha256": asked["weights"] if scan.method == "rim" else None,
        "source": front.source,
        "shared": front.shared,
        "size": size,
        "facts": {"path": str(facts.resolve())},
        "asked": asked,
    }
    return Recipe(
        source=_source(front.source, scan) | {"shape": [front.count, rows, image[-1]]},
        grid=Grid((front.count, rows, image[-1]), (1, rows, image[-1]), 0),
        task=Task(TASK, settings, PLANES if scan.error_map is None else (*PLANES, ERROR)),
        notes={
            "lead": list(front.lead),
            "grid": list(front.grid),
            "image": list(image),
            "provenance": front.provenance,
            "affine": None if front.affine is None else front.affine.tolist(),
        },
    )


def _source(read: dict[str, Any], scan: Scan) -> dict[str, Any]:
    identity = scan.identity()
    return {"kind": "generated", "factory": READER, "settings": read, "identity": identity}


def _resumed(scan: Scan, folder: RunFolder, place: Path) -> Recipe:
    """The recipe of a run, with input and options as they are now, for `run` to compare.

    What code runs, and what is read, is said here and not by what lies in a folder.
    """
    stored = folder.recipe()
    staged = stored.task.settings["source"]["kind"] == "staged"
    read = {
        "kind": "staged" if staged else "hdf5",
        "path": str((place / "input").resolve() if staged else scan.path),
    }
    settings = stored.task.settings | {
        "asked": scan.asked(),
        "source": read,
        "facts": {"path": str((place / "facts").resolve())},
    }
    return replace(
        stored,
        source=stored.source | _source(read, scan),
        task=replace(stored.task, factory=TASK, settings=settings),
    )


def _front(recipe: Recipe) -> Front:
    """The front that a recipe remembers."""
    notes = recipe.notes or {}
    affine = notes["affine"]
    return Front(
        lead=tuple(notes["lead"]),
        grid=tuple(notes["grid"]),
        source=recipe.task.settings["source"],
        shared=recipe.task.settings["shared"],
        provenance=notes["provenance"],
        affine=None if affine is None else np.asarray(affine),
    )


def _assemble(
    recipe: Recipe,
    front: Front,
    place: Path,
    output: str | Path,
    outcome: Outcome,
    like: str | Path | None,
    *,
    overwrite: bool,
) -> Written:
    """Put the slices together and write them: only here is there more than a few of them."""
    complete = json.loads(RunFolder.beside(place / "slices.zarr").complete.read_text())
    missing = set(complete["missing"])
    shape = (*front.lead, *(recipe.notes or {})["image"])
    image = np.full(recipe.grid.shape, np.nan, np.complex64)
    for unit in recipe.grid:
        if unit.index not in missing:
            for plane, part in zip(PLANES, (image.real, image.imag), strict=True):
                part[unit.core] = store.read(place / "slices.zarr", plane, unit)
    error = None
    if ERROR in recipe.task.planes:
        error = np.full(recipe.grid.shape, np.nan, np.float32)
        for unit in recipe.grid:
            if unit.index not in missing:
                error[unit.core] = store.read(place / "slices.zarr", ERROR, unit)
        error = error.reshape(shape)
    provenance = _provenance(recipe, front, outcome, missing)
    chi2 = provenance.get("chi2")
    weights = provenance.get("weights")
    named = f" {weights['name']} {weights['sha256'][:12]}" if weights else ""
    told = "" if chi2 is None else f", chi2 {chi2:.3f}"
    beside = None if error is None else error_file(output)
    if error is not None and beside is not None:
        stored = as_stored(beside, error, front.whole)
        save(beside, stored, front.whole, provenance=provenance, overwrite=overwrite)
    save(
        output,
        as_stored(output, image.reshape(shape), front.whole),
        front.whole,
        uncertainty=error if beside is None else None,
        provenance=provenance,
        history=f"rimaging {__version__} {recipe.task.settings['method']}{named}{told}",
        overwrite=overwrite,
        like=like,
    )
    lost = tuple(losses(output, image.reshape(shape), front.whole))
    return Written(**vars(outcome), chi2=chi2, lost=lost)


def _provenance(
    recipe: Recipe, front: Front, outcome: Outcome, missing: set[int]
) -> dict[str, Any]:
    """As of a reconstruction in one process: method, assumptions, chi2 over all slices."""
    folder = recipe.task.settings["facts"]["path"]
    said = []
    for unit in recipe.grid:
        if unit.index not in missing:
            said.append(json.loads(facts_file(folder, unit.index).read_text()))
    came = dict(front.provenance)
    assumed = list(came.pop("assumed", []))
    assumed += dict.fromkeys(note for facts in said for note in facts["maps"])
    if missing:
        assumed.append(f"slices {', '.join(map(str, sorted(missing)))} were given up: NaN")
    samples = sum(facts["samples"] for facts in said)
    chi2 = sum(facts["chi2"] * facts["samples"] for facts in said) / max(samples, 1)
    return {
        **(said[0]["provenance"] if said else {"rimaging": __version__}),
        "seconds": round(outcome.seconds, 3),
        "slices": len(recipe.grid),
        "assumed": assumed,
        "input": came,
        **({"chi2": chi2} if said else {}),
    }
