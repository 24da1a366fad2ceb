"""Laws of drawing ahead: the same batches in the same order, from any number of processes."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import pytest

from rimaging.rim.ahead import WINDOW, drawn_ahead, reused


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_order_does_not_depend_on_workers(workers: int) -> None:
    def draw(number: int) -> int:
        time.sleep(0.001 * (number * 7 % 5))
        return number**2

    assert list(drawn_ahead(draw, 3, 13, workers)) == [n**2 for n in range(3, 13)]


def test_workers_are_other_processes() -> None:
    drawn = set(drawn_ahead(lambda _: os.getpid(), 0, 8, 2))
    assert os.getpid() not in drawn
    assert len(drawn) == 2


def test_what_has_no_end_is_drawn_as_far_as_it_is_asked_for() -> None:
    assert list(islice(drawn_ahead(lambda n: n, 5, 2**62, 1), 3)) == [5, 6, 7]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failure_arrives_where_its_batch_would(workers: int) -> None:
    def draw(number: int) -> int:
        if number == 2:
            raise ValueError("draw 2")
        return number

    batches = drawn_ahead(draw, 0, 5, workers)
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(ValueError, match="draw 2"):
        next(batches)


def numbers(first: int) -> Iterator[int]:
    return iter(range(first, 4 * WINDOW))


def test_each_draw_serves_as_often_as_asked_and_not_in_a_row() -> None:
    served = list(reused(numbers, 3, 0, seed=1))
    assert Counter(served) == dict.fromkeys(range(4 * WINDOW), 3)
    first = served[: 3 * WINDOW]
    assert set(first) == set(range(WINDOW))  # a window at a time
    assert first != sorted(first)


@pytest.mark.parametrize("step", [0, 1, 3 * WINDOW - 1, 3 * WINDOW, 100])
def test_a_run_that_begins_in_the_middle_gets_the_same(step: int) -> None:
    straight = list(reused(numbers, 3, 0, seed=1))
    assert list(reused(numbers, 3, step, seed=1)) == straight[step:]
    assert list(reused(numbers, 3, 0, seed=2)) != straight
