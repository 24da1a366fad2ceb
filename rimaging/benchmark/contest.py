"""A contest: the same cases for every method, the rivals tuned on the truth, one table of PSNR."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from rimaging.benchmark.table import number
from rimaging.image.methods import DENOISER, How, Task, chosen, trained_for
from rimaging.operators.gaussian import Gaussian
from rimaging.solvers.iterative_map import iterative_map
from rimaging.solvers.primal_dual_tv import primal_dual_tv
from rimaging.solvers.tuning import tune

TUNED = 2
"""Cases of each column on which the parameter of a rival is tuned, on the truth."""

BESIDE = 8
"""Cases of each column that slow rivals take, where there are more."""


@dataclass(frozen=True, eq=False)
class Case:
    """A measurement, its truth, and how an estimate is judged; the first figure is a PSNR."""

    likelihood: Gaussian
    truth: Tensor
    score: Callable[[Tensor], tuple[float, ...]]
    task: Task = field(default_factory=Task)


@dataclass(frozen=True)
class Entry:
    """A method: its name in the table, and what it makes of a case and its parameter.

    ``low`` and ``high`` bound the parameter, which is tuned; without them there is none.
    """

    name: str
    solve: Callable[[Case, float], Tensor]
    low: float = 0.0
    high: float = 0.0


def decibels(truth: Tensor, axes: int = 2) -> Callable[[Tensor], tuple[float, ...]]:
    """PSNR with peak 1 of each item, then the mean over items; estimates as they are."""

    def score(estimate: Tensor) -> tuple[float, ...]:
        error = (estimate - truth).square().mean(dim=tuple(range(-axes, 0)))
        return (float((-10 * torch.log10(error)).mean()),)

    return score


def hand_made(iterations: int = 150) -> list[Entry]:
    """The two priors made by hand that serve any operator: total variation, and Huber by ascent."""

    def tv(case: Case, lamda: float) -> Tensor:
        return primal_dual_tv(case.likelihood, lamda=lamda, iterations=iterations)

    def huber(case: Case, lamda: float) -> Tensor:
        return iterative_map(case.likelihood, lamda=lamda, steps=iterations)[-1]

    return [Entry("TV", tv, 0.01, 3.0), Entry("iterative MAP (Huber)", huber, 0.01, 3.0)]


def ours(weights: str | None, like: Case, *, eight: bool = False) -> Entry:
    """The RIM, directly where its weights know the operator, else as the prior of plug-and-play.

    ``like``: a case that tells the operator and the task.

    Without weights it is plug-and-play as the doors have it.
    """
    direct = weights is not None and trained_for(weights, like.likelihood.operator)
    how = How(weights=weights, method="rim" if direct else "plug-and-play", ensemble=eight)
    said = f"{like.task.weights} and {DENOISER}" if weights is None else Path(weights).stem
    title = f"RIM (ours), {said}" if direct else f"plug-and-play, RIM {said}"

    def solve(case: Case, _: float) -> Tensor:
        method = chosen(str(how.method), how, case.task, torch.device("cpu"))
        return method.solve(None, case.likelihood)[-1]

    return Entry(title + (", ensemble of 8" if eight else ""), solve)


def contest(
    columns: Mapping[str, Sequence[Case]], entries: Sequence[Entry], beside: int | None = None
) -> list[list[str]]:
    """Rows of a table: for each entry the mean scores of each column, and seconds of one case.

    With ``beside``, entries that are tuned, which are slow, take only so many cases of each column;
    all entries then have a row of these cases, too.
    """
    most = max(len(cases) for cases in columns.values())
    if beside is None or most <= beside:
        return [row(entry.name, entry, columns) for entry in entries]
    few = {name: cases[:beside] for name, cases in columns.items()}
    rows = [row(entry.name, entry, columns) for entry in entries if not entry.high]
    return rows + [row(f"{entry.name}, first {beside}", entry, few) for entry in entries]


def row(name: str, entry: Entry, columns: Mapping[str, Sequence[Case]]) -> list[str]:
    """The row of one entry."""
    cells: list[str] = []
    seconds, count = 0.0, 0
    for cases in columns.values():
        value = tuned(entry, cases[:TUNED]) if entry.high else 0.0
        started = time.perf_counter()
        with torch.inference_mode():
            scores = [case.score(entry.solve(case, value)) for case in cases]
        seconds += time.perf_counter() - started
        count += len(cases)
        means = [sum(column) / len(scores) for column in zip(*scores, strict=True)]
        first, *others = [number(m, 2 if i == 0 else 4) for i, m in enumerate(means)]
        cells.append(" / ".join([first, *others]))
    cells = [name, *cells, number(seconds / count)]
    print("  ".join(cells), file=sys.stderr, flush=True)  # the table takes an hour, this a minute
    return cells


def tuned(entry: Entry, cases: Sequence[Case]) -> float:
    """The parameter with the best mean PSNR on the truth of these cases."""

    def score(value: float) -> float:
        with torch.inference_mode():
            return sum(case.score(entry.solve(case, value))[0] for case in cases) / len(cases)

    return tune(score, entry.low, entry.high, grid=5, refinements=2).value


def pictures_of(case: Case, entries: Sequence[Entry]) -> dict[str, Tensor]:
    """The estimate of every entry for one case, for a strip."""
    values = {e.name: tuned(e, [case]) if e.high else 0.0 for e in entries}
    with torch.inference_mode():
        return {e.name: partial(e.solve, case)(values[e.name]) for e in entries}


TUNING_NOTE = (
    f"Rivals: their one parameter tuned for PSNR on the truth of the first {TUNED} cases of each "
    "column, which favours them."
)
