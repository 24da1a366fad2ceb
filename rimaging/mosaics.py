"""The door for skies larger than memory: plan, deconvolve, verify; from a file to a file."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from rimaging.astro import TARGET, as_psf, as_varying
from rimaging.astro.psf import psf_source
from rimaging.datasets.fits_open import split_extension
from rimaging.datasets.fits_structure import check_extensions
from rimaging.datasets.psf import prepare_psf, psf_doubts
from rimaging.datasets.varying_psf import VaryingPsf
from rimaging.errors import FormatError
from rimaging.mosaic.cluster import check_scheduler
from rimaging.mosaic.driver import Outcome, Progress
from rimaging.mosaic.folder import Recipe, RunFolder
from rimaging.mosaic.plan import Plan
from rimaging.mosaic.run import Workers, check_output
from rimaging.mosaic.run import run as run_recipe
from rimaging.mosaic.sources import Description, check_shape, describe, open_source
from rimaging.mosaic.tiles import Grid, Unit
from rimaging.mosaic.verify import verify
from rimaging.rim.weights import file_sha256
from rimaging.tiles.recipe import (
    TASK,
    Sky,
    asked,
    beside,
    examples,
    recipe_for,
    target_of,
    weights_path,
)

__all__ = ["Sky", "Workers", "deconvolve", "plan", "recipe", "verify"]


def deconvolve(
    sky: Sky,
    output: str | Path,
    workers: Workers | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    allow_missing: bool = False,
    report: Callable[[Progress, str], None] | None = None,
) -> Outcome:
    """Deconvolve a sky tile by tile into ``output``, ``.fits`` or ``.zarr``.

    Before it begins the checksums that FITS files state are compared, which reads the image and
    what is beside it once. Whatever happens on the way, the same call with ``resume`` goes on where
    it was, and what comes out is bit for bit the same. The output appears when it is complete; that
    of a completed run is read again, and what is gone or damaged is done again.

    Raises:
        OptionError: an output or run that is there, or another run than the one to resume, or one
            that does not fit memory or disk. FormatError: files that cannot be read or written.
        DataError, ShapeError, WeightsError: as of `rimaging.astro.deconvolve`.
    """
    output, workers = Path(output), Workers() if workers is None else workers
    check_output(output, resume=resume, overwrite=overwrite)
    _check_apart(sky, output)
    if workers.scheduler is not None:
        check_scheduler(workers.scheduler, insecure=workers.insecure)  # before all the reading
    folder = RunFolder.beside(output)
    work = _resumed(sky, folder) if resume and folder.plan.is_file() else None
    if work is None:
        work = recipe(sky, gpus=bool(workers.gpus))
        whole = work.grid.pixels
        count = workers.processes(whole)
        cost = Plan(work, count, workers.threads, folder=output.parent, fits=_fits(output))
        cost.check()
        _check_sums(work)
    return run_recipe(
        work,
        output,
        workers,
        resume=resume,
        overwrite=overwrite,
        allow_missing=allow_missing,
        report=report,
    )


def plan(sky: Sky, workers: Workers | None = None, output: str | Path = "out.fits") -> Plan:
    """What `deconvolve` would take: memory, disk, tiles, halo, hours; one sample tile is run.

    The hours are those of computing: the checksums of the input, where it states them, are one read
    of it more, and are not compared here.
    """
    workers = Workers() if workers is None else workers
    work = recipe(sky, gpus=bool(workers.gpus))
    process = work.task.build()
    unit = _sample_unit(work.grid)
    read = open_source(work.source).read
    small = _middle(unit, 64)
    process(read(small.block), small)  # what is done once is not the pace
    block = read(unit.block)
    processes = workers.processes(work.grid.pixels)
    threads = torch.get_num_threads()
    try:
        if processes:  # each of which takes one
            torch.set_num_threads(1)
        started = time.perf_counter()
        process(block, unit)
        pace = (time.perf_counter() - started) / block.size
    finally:
        torch.set_num_threads(threads)
    output = Path(output)
    return Plan(
        work,
        processes,
        workers.threads,
        seconds_per_pixel=pace,
        fits=_fits(output),
        folder=output.parent,
    )


def recipe(sky: Sky, *, gpus: bool = False) -> Recipe:
    """Everything that decides the values of the output, from a sample of the sky."""
    source = describe(sky.image) if isinstance(sky.image, str | Path) else sky.image
    psf = _psf(sky, source)
    target = target_of(examples(psf, check_shape(source)), sky.target, TARGET)
    return recipe_for(sky, source, psf, target, name=psf_source(sky.psf), gpus=gpus)


def _psf(sky: Sky, source: Description) -> Tensor | VaryingPsf:
    """The PSF that is asked for: ``(1 or channel, y, x)``, or one that varies over the image."""
    varying = as_varying(sky.psf)
    if varying is not None:
        return varying
    header = None
    if "header" in source:
        from astropy.io import fits

        header = fits.Header.fromstring(source["header"], sep="\n")
    given = as_psf(sky.psf, header)
    psf, _ = prepare_psf(given.reshape(-1, *given.shape[-2:]))
    for doubt in psf_doubts(psf):
        warnings.warn(doubt, stacklevel=4)
    return psf


def _resumed(sky: Sky, folder: RunFolder) -> Recipe:
    """The recipe of a run, with input and options as they are now, for `run` to compare.

    What code runs, and what files are read, is said here and not by what lies in a folder.
    """
    stored = folder.recipe()
    source = describe(sky.image) if isinstance(sky.image, str | Path) else sky.image
    maps, *_ = beside(sky, source, check_shape(source))
    settings = stored.task.settings | {
        **maps,
        "asked": asked(sky),
        "sha256": file_sha256(weights_path(sky.weights)),
    }
    return replace(
        stored, source=source, task=replace(stored.task, factory=TASK, settings=settings)
    )


def _check_apart(sky: Sky, output: Path) -> None:
    """Refuse an output that is an input, or holds one: it would replace what it is made of."""
    place = output.expanduser().resolve()
    for given in (sky.image, sky.psf, sky.noise, sky.mask, sky.background):
        if isinstance(given, str | Path):
            read = split_extension(given)[0].expanduser().resolve()
            if place == read or place in read.parents:
                raise FormatError(f"{output.name!r} is, or holds, an input: choose another name")


def _check_sums(work: Recipe) -> None:
    """Compare the checksums of the FITS extensions that a run reads; FormatError if they differ."""
    settings = work.task.settings
    read = [work.source, *(mask["source"] for mask in settings["masks"])]
    read += settings["noise"]["sources"] if settings["noise"] else []
    read += [settings["background"]] if settings["background"] else []
    extensions: dict[Path, set[int]] = {}
    for found in read:
        if "extension" in found:
            extensions.setdefault(Path(found["path"]), set()).add(int(found["extension"]))
    for path, indices in extensions.items():
        check_extensions(path, indices)


def _fits(output: Path) -> bool:
    return output.suffix == ".fits"


def _sample_unit(grid: Grid) -> Unit:
    """A unit in the middle, cut to its middle 512 squared so that the measurement is short."""
    return _middle(grid[len(grid) // 2], 512)


def _middle(unit: Unit, side: int) -> Unit:
    """The middle of a block as a unit of its own: its corners may hold nothing."""
    parts = []
    for part in unit.block[1:]:
        size = min(side, part.stop - part.start)
        start = (part.start + part.stop - size) // 2
        parts.append(slice(start, start + size))
    y, x = parts
    return Unit(-1, (unit.core[0], y, x), (unit.core[0], y, x))
