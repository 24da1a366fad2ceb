"""Batches drawn ahead of time, so that a GPU does not wait for the simulation."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Batch = TypeVar("Batch")


def drawn_ahead(
    draw: Callable[[int], Batch], first: int, last: int, workers: int
) -> Generator[Batch, None, None]:
    """Yield ``draw(first), ..., draw(last - 1)`` in order, up to ``workers`` of them in the making.

    Each draw depends on its number alone, so the batches are the same for any number of workers.
    They are threads: what takes the time are torch's kernels, which let each other run. With
    ``workers`` 0 each batch is drawn when it is asked for.
    """
    if workers < 1:
        yield from map(draw, range(first, last))
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="draw") as pool:
        waiting: deque[Future[Batch]] = deque()
        numbers = iter(range(first, last))
        try:
            while True:
                while len(waiting) < workers and (number := next(numbers, None)) is not None:
                    waiting.append(pool.submit(draw, number))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
