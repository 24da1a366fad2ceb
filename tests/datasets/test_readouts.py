from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rimaging.datasets.readouts import COUNTERS, Grid, Readouts, onto_grid, ranks
from rimaging.errors import FormatError

WIDTH, HEIGHT, DEPTH, COILS = 12, 10, 3, 2


def readouts(line: np.ndarray, **more: Any) -> Readouts:
    count = len(line)
    fields = {
        "line": line,
        "partition": np.zeros(count, int),
        "centre": np.full(count, WIDTH // 2),
        "length": np.full(count, WIDTH),
        "first": np.zeros(count, int),
        "last": np.full(count, WIDTH),
        "counters": {name: np.zeros(count, int) for name in COUNTERS},
    }
    return Readouts(**{**fields, **more})


def placed(r: Readouts, samples: list[np.ndarray], **more: Any) -> Grid:
    options: dict[str, Any] = {
        "coils": COILS, "matrix": (WIDTH, HEIGHT, 1), "centre": (HEIGHT // 2, 0), "stored": 10**6
    }  # fmt: skip
    return onto_grid(r, samples, **{**options, **more})


@given(st.data())
def test_every_sample_goes_where_its_frequency_is(data: st.DataObject) -> None:
    """Sample i of a readout has frequency i - centre, line l has l - centre: whatever was cut."""
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(HEIGHT, COILS, WIDTH)).astype(np.complex64)
    lines = np.array(data.draw(st.permutations(range(HEIGHT))))[: data.draw(st.integers(1, HEIGHT))]
    shift = data.draw(st.integers(0, int(lines.min())))
    begin = np.array([data.draw(st.integers(0, 5)) for _ in lines])
    end = np.array([data.draw(st.integers(WIDTH - 4, WIDTH)) for _ in lines])
    spoilt = np.array([data.draw(st.integers(0, 2)) for _ in lines])
    samples = [whole[row, :, b:e] for row, b, e in zip(lines, begin, end, strict=True)]
    r = readouts(
        lines - shift,
        centre=WIDTH // 2 - begin,
        length=end - begin,
        first=spoilt,
        last=end - begin,
    )
    grid = placed(r, samples, centre=(HEIGHT // 2 - shift, 0))
    expected = np.zeros((HEIGHT, COILS, WIDTH), np.complex64)
    for row, b, e, s in zip(lines, begin, end, spoilt, strict=True):
        expected[row, :, b + s : e] = whole[row, :, b + s : e]
    shape = (*(1,) * len(COUNTERS), COILS, 1, HEIGHT, WIDTH)
    assert np.array_equal(grid.kspace, expected.swapaxes(0, 1).reshape(shape))
    assert np.array_equal(grid.count.reshape(HEIGHT, WIDTH) > 0, expected.any(axis=1))


def test_what_was_measured_twice_is_averaged() -> None:
    line = np.ones((COILS, WIDTH), np.complex64)
    grid = placed(readouts(np.array([3, 3, 4])), [line, 3 * line, 5 * line])
    assert grid.count.reshape(HEIGHT, WIDTH)[3:5, 0].tolist() == [2, 1]
    assert grid.kspace.reshape(COILS, HEIGHT, WIDTH)[0, 3:5, 0].tolist() == [2, 5]


def test_a_centre_that_cannot_be_is_said() -> None:
    lines = np.arange(HEIGHT)
    samples = [np.ones((COILS, WIDTH), np.complex64)] * HEIGHT
    grid = placed(readouts(lines), samples, centre=(0, 0))
    assert grid.notes == ["the central line cannot be 0 as stated, taken as 5"]
    grid = placed(readouts(lines, centre=np.zeros(HEIGHT, int)), samples)
    assert "taken as their middle" in grid.notes[0]
    assert grid.count.all()


def test_what_does_not_fit_is_refused() -> None:
    line = np.ones((COILS, WIDTH), np.complex64)
    with pytest.raises(FormatError, match="line 99 was measured"):
        placed(readouts(np.array([99])), [line])
    with pytest.raises(FormatError, match="2 coils x 5 samples, expected 2 x 12"):
        placed(readouts(np.array([3])), [line[:, :5]])
    with pytest.raises(FormatError, match="declares"):
        placed(readouts(np.array([3])), [line], matrix=(WIDTH, 10**5, 10**5))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_ranks_number_without_gaps(values: list[int]) -> None:
    numbers, count = ranks(np.array(values))
    assert sorted(set(numbers.tolist())) == list(range(count))
    assert np.array_equal(np.unique(values)[numbers], values)
