"""What the driver itself takes grows with the number of units and no faster."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rimaging.mosaic.driver import drive
from rimaging.mosaic.folder import Recipe
from rimaging.mosaic.generated import describe_starfield
from rimaging.mosaic.plan import RECORD, Plan
from rimaging.mosaic.receipts import PlaneReceipt, Receipt, read_receipts
from rimaging.mosaic.task import Task, pack
from rimaging.mosaic.tiles import Grid
from rimaging.mosaic.work import Answer


class AtOnce:
    """Workers who take no time."""

    capacity = 6

    def __init__(self) -> None:
        self.waiting: list[int] = []

    def submit(self, index: int) -> None:
        self.waiting.append(index)

    def next(self) -> Answer:
        return {"verdict": "done", "unit": self.waiting.pop(), "missing": 0}

    def told(self) -> str:
        return "nobody"


def planned_and_driven(units: int, folder: Path) -> None:
    """The driver's part of a run of so many channels, each a unit with settings of its own."""
    shape = (units, 64, 64)
    settings = {"radius": 3, "sigma": pack(np.ones(units, np.float32))}
    recipe = Recipe(
        describe_starfield(shape),
        Grid(shape, (1, 64, 64), 8),
        Task("rimaging.mosaic.generated:box_blur", settings),
    )
    Plan(recipe, 2, 2).lines()
    assert recipe.fingerprint
    done, _ = read_receipts(folder)
    assert len(done) == units
    todo = [index for index in range(units) if recipe.grid[index].index in done]
    outcome = drive(todo, AtOnce(), lambda index: int(np.prod(recipe.grid[index].shape)))
    assert outcome.done == units


@pytest.fixture
def receipts(tmp_path: Path) -> Callable[[int], Path]:
    """A folder with the receipts of so many units."""

    def write(units: int) -> Path:
        folder = tmp_path / str(units)
        folder.mkdir()
        plane = PlaneReceipt(123456789, 4096, -1.5, 2.5, 0)
        lines = [Receipt(i, {"image": plane}, (0.1, 0.2, 0.3), "here").line() for i in range(units)]
        (folder / "host.jsonl").write_text("\n".join(lines) + "\n")
        return folder

    return write


def test_time_and_memory_of_the_driver_are_linear_in_units(receipts: Callable[[int], Path]) -> None:
    seconds, memory = {}, {}
    for units in (1000, 10_000):
        folder = receipts(units)
        tries = []
        for _ in range(3):  # the least of them is what others on the machine did not disturb
            started = time.process_time()
            planned_and_driven(units, folder)
            tries.append(time.process_time() - started)
        tracemalloc.start()
        planned_and_driven(units, folder)
        memory[units] = tracemalloc.get_traced_memory()[1] / units
        tracemalloc.stop()
        seconds[units] = min(tries) / units
    assert seconds[10_000] < 2.5 * seconds[1000] and seconds[10_000] < 1e-3
    assert memory[10_000] < 1.3 * memory[1000] and memory[10_000] < 1.5 * RECORD
    print(f"{1e6 * seconds[10_000]:.0f} us and {memory[10_000]:.0f} bytes for each unit")
