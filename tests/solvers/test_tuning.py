"""Tuning finds the maximum of a score over a logarithmic range."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rimaging.errors import OptionError
from rimaging.solvers.tuning import tune


@given(st.floats(-3.9, -0.1))
def test_finds_a_single_peak_anywhere(peak: float) -> None:
    found = tune(lambda v: -((math.log10(v) - peak) ** 2), 1e-4, 1, refinements=10)
    # Ten golden steps narrow a bracket of two grid spacings by 0.618^8.
    assert abs(math.log10(found.value) - peak) < 2 * (4 / 6) * 0.618**8
    assert found.interior


@given(st.integers(0, 6), st.integers(2, 9))
def test_returns_the_best_of_all_trials(refinements: int, grid: int) -> None:
    found = tune(lambda v: math.sin(9 * math.log(v)), 1e-3, 10, grid=grid, refinements=refinements)
    assert len(found.trials) == grid + refinements
    assert (found.value, found.score) in found.trials
    assert found.score == max(score for _, score in found.trials)
    assert all(1e-3 * (1 - 1e-9) <= value <= 10 * (1 + 1e-9) for value, _ in found.trials)


def test_says_when_the_range_was_too_narrow() -> None:
    assert not tune(lambda v: v, 1e-2, 1).interior
    assert not tune(lambda v: -v, 1e-2, 1).interior


def test_a_score_that_fails_is_the_worst() -> None:
    assert tune(lambda v: math.nan if v > 0.1 else v, 1e-3, 1).value <= 0.1
    with pytest.raises(OptionError, match="no finite score"):
        tune(lambda v: math.nan, 1e-3, 1)


def test_refuses_an_impossible_range() -> None:
    for low, high, grid in ((0, 1, 5), (1, 1, 5), (1e-3, 1, 1)):
        with pytest.raises(OptionError, match="0 < low < high"):
            tune(lambda v: v, low, high, grid=grid)
