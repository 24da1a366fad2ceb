"""Laws of drawing ahead: the same batches in the same order, and never too many."""

import threading
import time

import pytest

from rimaging.rim.ahead import drawn_ahead


@pytest.mark.parametrize("workers", [0, 1, 3, 20])
def test_order_does_not_depend_on_workers(workers: int) -> None:
    def draw(number: int) -> int:
        time.sleep(0.001 * (number * 7 % 5))
        return number**2

    assert list(drawn_ahead(draw, 3, 13, workers)) == [n**2 for n in range(3, 13)]


def test_no_more_are_made_than_there_are_workers() -> None:
    made, lock = [], threading.Lock()

    def draw(number: int) -> int:
        with lock:
            made.append(number)
        return number

    batches = drawn_ahead(draw, 0, 1000, 4)
    for seen in range(10):
        next(batches)
        assert len(made) <= seen + 1 + 4
    batches.close()
    assert len(made) < 20


def test_a_failure_arrives_where_its_batch_would() -> None:
    def draw(number: int) -> int:
        if number == 2:
            raise ValueError("draw 2")
        return number

    batches = drawn_ahead(draw, 0, 5, 2)
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(ValueError, match="draw 2"):
        next(batches)
