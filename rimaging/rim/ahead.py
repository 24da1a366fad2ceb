"""Batches drawn ahead of time, so that a GPU does not wait for the simulation."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

Batch = TypeVar("Batch")


def drawn_ahead(
    draw: Callable[[int], Batch], first: int, last: int, workers: int
) -> Iterator[Batch]:
    """Yield ``draw(first), ..., draw(last - 1)`` in order, some of them in the making.

    Each draw depends on its number alone, so the batches are the same for any number of workers.
    They are processes, forked from this one: a simulation is many small operations, which threads
    would do one after the other. With ``workers`` 0, or where a system cannot fork, each batch is
    drawn when it is asked for.
    """
    if workers < 1 or "fork" not in multiprocessing.get_all_start_methods():
        return map(draw, range(first, last))
    return iter(
        DataLoader(
            _Draws(draw),
            batch_size=None,
            sampler=range(first, last),
            num_workers=workers,
            collate_fn=_as_drawn,
            multiprocessing_context="fork",
        )
    )


WINDOW = 16
"""Draws among which `reused` chooses."""


def reused(
    draws: Callable[[int], Iterator[Batch]], times: int, first: int, seed: int
) -> Iterator[Batch]:
    """Yield the batches of steps ``first, first + 1, ...``, each draw serving ``times`` steps.

    A window of `WINDOW` draws is shuffled ``times`` over, then the next one comes: for simulations
    that take longer than a step of training. ``draws(n)`` begins with draw ``n``; which draw serves
    a step follows from its number and ``seed`` alone.
    """
    block, done = divmod(first, WINDOW * times)
    source = draws(block * WINDOW)
    while window := list(islice(source, WINDOW)):
        generator = torch.Generator().manual_seed(hash((seed, block)))
        order = torch.randperm(len(window) * times, generator=generator) % len(window)
        yield from (window[index] for index in order[done:].tolist())
        block, done = block + 1, 0


class _Draws(Dataset[Batch], Generic[Batch]):
    """The draws by their numbers."""

    def __init__(self, draw: Callable[[int], Batch]) -> None:
        self.draw = draw

    def __getitem__(self, number: int) -> Batch:
        return self.draw(number)


def _as_drawn(batch: Batch) -> Batch:
    return batch
