"""A run from its recipe to its output: folder, lock, workers, every unit, the final name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rimaging.errors import FormatError, OptionError
from rimaging.mosaic.cluster import check_address, check_main, local_cluster, remote_cluster
from rimaging.mosaic.driver import Outcome, Pool, Progress, drive
from rimaging.mosaic.finalise import check_ours, finalise, reopen, settle
from rimaging.mosaic.folder import Recipe, RunFolder, write_whole
from rimaging.mosaic.lock import locked
from rimaging.mosaic.pools import InProcess, OnCluster
from rimaging.mosaic.sources import check_unchanged
from rimaging.mosaic.verify import is_intact

SUFFIXES = (".fits", ".zarr")
SMALL = 1 << 24
"""Pixels up to which a run stays in this process unless workers are asked for."""


@dataclass(frozen=True)
class Workers:
    """Who works; at most one of these, else this process or as many as there are cores.

    count: processes to start here. gpus: one process for each. scheduler: address of a cluster that
    is there. client: of `dask.distributed`. insecure: take a public address without TLS.
    """

    count: int | None = None
    gpus: Sequence[int] = ()
    scheduler: str | None = None
    client: Any = None
    insecure: bool = False

    def __post_init__(self) -> None:
        given = [self.count is not None, bool(self.gpus), bool(self.scheduler), bool(self.client)]
        if sum(given) > 1:
            raise OptionError("workers, gpus, scheduler and client exclude each other: give one")
        if self.count is not None and self.count < 1:
            raise OptionError(f"{self.count} workers can do nothing: give at least 1")
        check_main()

    def processes(self, pixels: int) -> int:
        """How many processes compute on this machine; 0 is this one."""
        import os

        if self.client is not None or self.scheduler is not None:
            return 0  # they compute elsewhere
        if self.gpus:
            return len(self.gpus)
        if self.count is not None:
            return self.count
        cores = len(os.sched_getaffinity(0))
        return 0 if pixels <= SMALL or cores == 1 else cores

    @property
    def threads(self) -> int:
        """Of each process that is started here: one computes, the others read and write."""
        return 3 if self.gpus else 2


def run(
    recipe: Recipe,
    output: Path,
    workers: Workers | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    allow_missing: bool = False,
    report: Callable[[Progress, str], None] | None = None,
) -> Outcome:
    """Do what a recipe says and give the output its name, or say what is in the way.

    The output appears only when every unit is in it. With units in quarantine it does not, unless
    ``allow_missing``, which leaves them NaN: look at the `Outcome`.

    Args:
        recipe: the run. output: ``.fits`` or ``.zarr``. workers: by default this process for small
            images, and one process for each core for larger ones.
        resume: go on with a run that was stopped. The output of one that was completed is read
            again, as `verify` does, and what is gone or damaged is done again: of Zarr those units,
            of FITS, whose tiles are gone by then, all of them. overwrite: replace an output that
            exists.
        report: called after each unit with `Progress` and who works.

    Raises:
        OptionError: an output or run that exists, that another process works on, or a run that is
            not the same as the one to resume. FormatError: an output that cannot be written.
        DataError: workers that keep dying, an input that changes while it is read.
    """
    workers = Workers() if workers is None else workers
    check_output(output, resume=resume, overwrite=overwrite)
    folder = RunFolder.beside(output)
    _check_folder(folder, resume, overwrite)
    folder.path.mkdir(exist_ok=True)
    with locked(folder.lock):
        if resume and folder.plan.is_file():
            folder.resume(recipe)
            if folder.complete.is_file():
                settle(folder, output)
                if is_intact(output):
                    return Outcome(0, len(recipe.grid), {}, 0.0, 0)
                reopen(folder, recipe, output)
        else:
            _clean(folder)
            folder.start(recipe)
        outcome = _all_units(recipe, folder, workers, report)
        check_unchanged(recipe.source)
        write_whole(folder.quarantine, json.dumps(outcome.quarantined, indent=1))
        if outcome.quarantined and not allow_missing:
            return outcome
        gaps = frozenset(outcome.quarantined)
        if finalise(folder, output, gaps):
            # Shards that were damaged after their receipt: they are done again, once.
            outcome = _all_units(recipe, folder, workers, report)
            damaged = finalise(folder, output, gaps)
            if damaged:
                raise FormatError(
                    f"{damaged[0]} does not read back as it was written, twice: check the disk"
                )
    return outcome


def check_output(output: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse at once what could not be written in the end, and to replace what is not ours.

    A run that goes on may find its own output, or an older one of ours that it began over.
    """
    if output.suffix not in SUFFIXES:
        raise FormatError(f"{output.name!r} has no suffix of {', '.join(SUFFIXES)}: choose one")
    if not output.parent.is_dir():
        raise FormatError(f"the folder of {output.name!r} does not exist: create it first")
    if not output.exists():
        return
    if output.is_dir() != (output.suffix == ".zarr"):
        kind = "folder" if output.is_dir() else "file"
        raise FormatError(f"{output.name!r} is a {kind}: choose another name, or move it away")
    if overwrite:
        return
    folder = RunFolder.beside(output)
    if not (resume and folder.plan.is_file()):
        raise OptionError(f"{output.name!r} exists: choose another name, or give --overwrite")
    check_ours(folder.recipe(), output)


def _check_folder(folder: RunFolder, resume: bool, overwrite: bool) -> None:
    if folder.plan.is_file() and not resume and not overwrite:
        raise OptionError(
            f"{folder.path.name!r} holds a run: --resume goes on with it, --overwrite starts again"
        )


def _clean(folder: RunFolder) -> None:
    """Remove an older run, plan first: without a plan nothing of it counts."""
    folder.plan.unlink(missing_ok=True)
    folder.complete.unlink(missing_ok=True)
    folder.quarantine.unlink(missing_ok=True)
    for path in (folder.receipts, folder.store):
        shutil.rmtree(path, ignore_errors=True)


def _all_units(
    recipe: Recipe,
    folder: RunFolder,
    workers: Workers,
    report: Callable[[Progress, str], None] | None,
) -> Outcome:
    grid = recipe.grid
    done = folder.done(recipe)
    todo = [index for index in range(len(grid)) if index not in done]

    def pixels(index: int) -> int:
        channels, height, width = grid[index].shape
        return channels * height * width

    if not todo:
        return Outcome(0, len(done), {}, 0.0, 0)
    with _pool(folder, recipe, workers) as pool:
        return drive(todo, pool, pixels, resumed=len(done), report=report)


@contextmanager
def _pool(folder: RunFolder, recipe: Recipe, workers: Workers) -> Iterator[Pool]:
    told = (str(folder.path.resolve()), folder.name, folder.fingerprint)
    if workers.client is not None:
        check_address(workers.client.scheduler.address, insecure=workers.insecure)
        yield OnCluster(workers.client, told)
        return
    if workers.scheduler is not None:
        with remote_cluster(workers.scheduler, insecure=workers.insecure) as client:
            yield OnCluster(client, told)
        return
    processes = workers.processes(recipe.grid.pixels)
    if processes == 0:
        yield InProcess(told)
        return
    with local_cluster(processes, workers.threads, gpus=workers.gpus) as client:
        yield OnCluster(client, told)
