"""Progress bars on stderr: of a training run its loss, PSNR and the time left; of a count."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from rimaging.rim.training import Progress as Standing


class TrainingBar:
    """A bar on stderr, and a line for each validation, which stays when output is a file.

    Use it as a context; `step` and `validation` take what `Trainer.run` reports.
    """

    def __init__(self, name: str, iterations: int, console: Console | None = None) -> None:
        self.console = Console(stderr=True) if console is None else console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task(name, total=iterations, state="")
        self._loss = math.nan

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def step(self, standing: Standing) -> None:
        """Move the bar; the loss shown is a running mean, since that of one batch is noise."""
        first = math.isnan(self._loss)
        self._loss = standing.loss if first else 0.98 * self._loss + 0.02 * standing.loss
        psnr = "--" if math.isnan(standing.psnr) else f"{standing.psnr:.2f}"
        state = f"loss {self._loss:.3f}  PSNR {psnr} dB  {duration(standing.seconds_left)} left"
        self._bar.update(
            self._task, completed=standing.iteration, total=standing.iterations, state=state
        )

    def validation(self, standing: Standing) -> None:
        """Print a line above the bar."""
        self.console.print(
            f"step {standing.iteration}/{standing.iterations}  loss {standing.loss:.3f}  "
            f"PSNR {standing.psnr:.2f} dB  {duration(standing.seconds_left)} left",
            highlight=False,
        )


@contextmanager
def counting(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, that is moved by calling what comes with how many are done."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=total)
        yield lambda done: bar.update(task, completed=done)


def duration(seconds: float) -> str:
    """Time in the two largest units that matter: 45 s, 12 min, 3 h 05 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
