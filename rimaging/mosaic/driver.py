"""All units, whatever dies on the way: retried, quarantined, counted; and never a wrong pixel."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from rimaging.errors import DataError, FormatError
from rimaging.mosaic.work import Answer

ATTEMPTS = 3
LOSSES = 20
"""Times in a row that all work may be lost (a scheduler that dies) before it is given up."""


class Pool(Protocol):
    """Who does the units."""

    @property
    def capacity(self) -> int:
        """How many units to have in flight."""

    def submit(self, index: int) -> None:
        """Begin a unit."""

    def next(self) -> Answer:
        """The next answer of those begun: of `rimaging.mosaic.work.work`, or "lost"."""

    def told(self) -> str:
        """Who works, in a few words."""


@dataclass
class Progress:
    """Where a run stands. pixels: done in this run and in all."""

    units: int
    done: int = 0
    resumed: int = 0
    failures: int = 0
    lost: int = 0
    quarantined: int = 0
    missing: int = 0
    pixels: float = 0.0
    left: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self.started

    @property
    def speed(self) -> float:
        """Megapixels in a second."""
        return self.pixels / 1e6 / max(self.seconds, 1e-9)

    def line(self, workers: str = "") -> str:
        """In one line: how far, how fast, how long still."""
        left = self.left / 1e6 / self.speed if self.speed > 0 else float("inf")
        eta = "?" if left == float("inf") else _duration(left)
        told = [
            f"{self.done + self.resumed} of {self.units} units",
            f"{self.speed:.3g} Mpx/s",
            f"{eta} left",
            *([workers] if workers else []),
            *([f"{self.failures} failures"] if self.failures else []),
            *([f"{self.lost} lost with their workers"] if self.lost else []),
            *([f"{self.quarantined} given up"] if self.quarantined else []),
        ]
        return ", ".join(told)


@dataclass(frozen=True)
class Outcome:
    """What came of it. quarantined: the units that failed `ATTEMPTS` times, and why."""

    done: int
    resumed: int
    quarantined: dict[int, str]
    seconds: float
    missing: int


def drive(
    todo: Iterable[int],
    pool: Pool,
    pixels: Callable[[int], int],
    *,
    resumed: int = 0,
    report: Callable[[Progress, str], None] | None = None,
) -> Outcome:
    """Do every unit of ``todo``: at least once, and with the effect of once.

    Few are in flight at a time, so that a run of 10^5 units needs no graph of them. A unit that
    failed comes again after the others; one that failed three times is put aside and the rest goes
    on. Units lost with a worker or a scheduler are begun anew and not counted against them.

    Raises FormatError when the output cannot be written, DataError when the workers keep dying.
    """
    waiting = deque(todo)
    progress = Progress(units=len(waiting) + resumed, resumed=resumed)
    progress.left = float(sum(pixels(index) for index in waiting))
    failures: Counter[int] = Counter()
    quarantined: dict[int, str] = {}
    in_flight = losses = 0
    while waiting or in_flight:
        while waiting and in_flight < pool.capacity:
            pool.submit(waiting.popleft())
            in_flight += 1
        answer = pool.next()
        in_flight -= 1
        index = int(answer["unit"])
        losses = losses + 1 if answer["verdict"] == "lost" else 0
        if answer["verdict"] == "done":
            progress.done += 1
            progress.pixels += pixels(index)
            progress.left -= pixels(index)
            progress.missing += answer["missing"]
        elif answer["verdict"] == "lost":
            progress.lost += 1
            if losses > LOSSES * pool.capacity:
                raise DataError(
                    f"the workers die or vanish again and again ({answer['reason']}); "
                    f"{progress.done + resumed} of {progress.units} units are done: look for what "
                    "kills them (memory?), then --resume"
                )
            waiting.append(index)
        elif answer["verdict"] == "stop":
            raise FormatError(
                f"the output cannot be written: {answer['reason']}; "
                f"{progress.done + resumed} of {progress.units} units are safe: make room or give "
                "write access, then --resume"
            )
        else:
            failures[index] += 1
            progress.failures += 1
            if failures[index] >= ATTEMPTS:
                quarantined[index] = answer["reason"]
                progress.quarantined += 1
                progress.left -= pixels(index)
            else:
                waiting.append(index)
        if report is not None:
            report(progress, pool.told())
    return Outcome(progress.done, resumed, quarantined, progress.seconds, progress.missing)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
