"""Operators of any norm, for weights that were trained with those of some."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from rimaging.errors import DataError
from rimaging.method import Weights
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.operator import Operator
from rimaging.rim.weights import shipped

USUAL = (0.2, 5.0)
"""Norms of the operators that the shipped weights were trained with: 1/4 of an enlargement by 4,
1 of blur and missing pixels, 4.2 of a tenth as many random sums as pixels."""

ITERATIONS = 30


def of_usual_norm(operator: Operator, y: Tensor, sigma: Tensor) -> tuple[Operator, Tensor, Tensor]:
    """The same measurement by an operator of norm 1, if its own is none that weights have seen.

    ``y = A x + n`` and ``y / c = (A / c) x + n / c`` say the same of ``x``, but a network sees
    ``x`` beside the noise: where a detector counts in thousands, it would see a sky of nothing.
    Operators that are not linear stay as they are.

    Raises DataError where the operator sees nothing at all.
    """
    if not isinstance(operator, LinearOperator):
        return operator, y, sigma
    norm = float(operator.norm(ITERATIONS).max())
    if not 0 < norm < float("inf"):
        raise DataError(
            f"the norm of the operator is {norm:.3g}: it must see something of an image, and give "
            "finite numbers"
        )
    if USUAL[0] <= norm <= USUAL[1]:
        return operator, y, sigma
    return operator * (1 / norm), y / norm, sigma / norm


def of_the_user(weights: Weights | None) -> bool:
    """Whether weights were trained by somebody else, whose operators have the norm they have."""
    return isinstance(weights, Path) or not (weights is None or weights in shipped())
