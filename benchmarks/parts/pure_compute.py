"""The rate of computing alone, without a mosaic around it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rimaging import mosaics
    from rimaging.mosaic.folder import Recipe

ALONE = 10.0
"""Seconds for which each process computes."""


def pure_rate(recipe: Recipe, workers: mosaics.Workers) -> float:
    """Pixels in a second that are kept, of processes that do nothing but compute."""
    from rimaging.mosaic.cluster import local_cluster

    grid = recipe.grid
    middle = min(
        range(len(grid)),
        key=lambda i: sum(
            abs(2 * core.start + size - whole)
            for core, size, whole in zip(grid[i].core, grid.unit, grid.shape, strict=True)
        ),
    )
    count = max(1, workers.processes(grid.pixels))
    with local_cluster(count, workers.threads, gpus=workers.gpus) as client:
        client.wait_for_workers(count)
        begun = [
            client.submit(computing, recipe, middle, pure=False, workers=[worker])
            for worker in client.nthreads()
        ]
        return float(sum(client.gather(begun)) / grid.amplification)


def computing(recipe: Recipe, index: int) -> float:
    """Pixels of a block computed in a second."""
    from rimaging.mosaic.sources import read_unit

    process, unit = recipe.task.build(), recipe.grid[index]
    block = read_unit(recipe.source, unit)
    process(block, unit)
    count, started = 0, time.perf_counter()
    while count < 3 or time.perf_counter() - started < ALONE:
        process(block, unit)
        count += 1
    return float(count * block.size / (time.perf_counter() - started))
