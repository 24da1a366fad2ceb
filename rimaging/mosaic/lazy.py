"""The same on a dask array: a lazy array out, computed when somebody looks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rimaging.mosaic.task import Process, Task, planes_of
from rimaging.mosaic.tiles import Grid, Unit


def is_dask(array: object) -> bool:
    """Whether something is a dask array, without importing dask."""
    return type(array).__module__.startswith("dask.array")


class LazySource:
    """Blocks of a dask array ``(channel, y, x)``, computed as they are read: for a sample."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def read(self, block: tuple[slice, slice, slice]) -> NDArray[Any]:
        """The block as float32."""
        return np.asarray(self.array[block].compute(), np.float32)


def lazily(array: Any, grid: Grid, task: Task, plane: str = "image") -> Any:
    """The plane that a task gives of a dask array ``(channel, y, x)``: one task for each unit.

    Each unit takes its block, halo and all, by slicing the input; nothing is rechunked, and no
    block is ever larger than itself (`map_overlap` takes ten times the memory).
    """
    import dask
    import dask.array

    library: Any = dask  # which is not typed throughout
    # one node of the graph holds the task; a process builds it once
    shared = library.delayed(task)
    block_of = library.delayed(_one, pure=True)
    channels, rows, columns = grid.counts
    parts: list[list[list[Any]]] = []
    units = iter(grid)
    for _ in range(channels):
        parts.append([])
        for _ in range(rows):
            parts[-1].append([])
            for _ in range(columns):
                unit = next(units)
                found = block_of(shared, array[unit.block], unit, plane)
                core = library.array.from_delayed(found, unit.shape, np.float32)
                parts[-1][-1].append(core)
    return library.array.block(parts)


def _one(task: Task, block: NDArray[Any], unit: Unit, plane: str) -> NDArray[np.float32]:
    process: Process = task.build()
    answer = process(np.asarray(block, np.float32), unit)
    return planes_of(answer, unit, task.planes)[plane]
