"""Tune one parameter on the truth, so that a baseline stands at its best."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from rimaging.errors import OptionError

_GOLDEN = (math.sqrt(5) - 1) / 2


class Tuned(NamedTuple):
    """The best parameter, its score, all trials ``(value, score)``, and if it is inside."""

    value: float
    score: float
    trials: tuple[tuple[float, float], ...]
    interior: bool


def tune(
    score: Callable[[float], float],
    low: float,
    high: float,
    *,
    grid: int = 7,
    refinements: int = 4,
) -> Tuned:
    """Maximise ``score(value)`` over ``low <= value <= high``, equal ratios apart, then refine.

    A logarithmic grid finds the neighbourhood; golden-section search refines between the
    neighbours of its best point. The best trial of all is returned, so that a score with several
    maxima does no harm beyond the grid's spacing. ``interior`` is False where the best lies on an
    end of the range: then the range should be widened.

    Args:
        score: larger is better (PSNR, minus an error); NaN counts as the worst.
        low: the smallest value, above zero.
        high: the largest value.
        grid: points on the logarithmic grid, two or more.
        refinements: further trials; each narrows the bracket by 0.618.

    Raises:
        OptionError: an empty or non-positive range, fewer than two grid points, no finite score.

    Source: Kiefer (1953), Proc. Amer. Math. Soc. 4, 502.
    """
    if not 0 < low < high or grid < 2:
        raise OptionError(
            f"tune needs 0 < low < high and grid >= 2, got {low=}, {high=}, {grid=}: "
            "give a logarithmic range that holds the best value"
        )
    trials: list[tuple[float, float]] = []

    def attempt(exponent: float) -> float:
        value = math.exp(exponent)
        found = float(score(value))
        trials.append((value, -math.inf if math.isnan(found) else found))
        return trials[-1][1]

    spacing = (math.log(high) - math.log(low)) / (grid - 1)
    exponents = [math.log(low) + i * spacing for i in range(grid)]
    scores = [attempt(e) for e in exponents]
    best = max(range(grid), key=scores.__getitem__)
    if not math.isfinite(scores[best]):
        raise OptionError("tune found no finite score: check what the score function returns")
    a, b = exponents[max(best - 1, 0)], exponents[min(best + 1, grid - 1)]

    c, d = b - _GOLDEN * (b - a), a + _GOLDEN * (b - a)
    at_c = attempt(c) if refinements > 0 else -math.inf
    at_d = attempt(d) if refinements > 1 else -math.inf
    for _ in range(refinements - 2):
        if at_c >= at_d:
            b, d, at_d = d, c, at_c
            c = b - _GOLDEN * (b - a)
            at_c = attempt(c)
        else:
            a, c, at_c = c, d, at_d
            d = a + _GOLDEN * (b - a)
            at_d = attempt(d)
    value, found = max(trials, key=lambda trial: trial[1])
    ends = (trials[0][0], trials[grid - 1][0])
    return Tuned(value, found, tuple(trials), value not in ends)
