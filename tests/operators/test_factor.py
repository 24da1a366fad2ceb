"""The factor of an operator: every kind of number, and nothing that is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rimaging.errors import OptionError
from rimaging.operators.factor import as_factor
from rimaging.operators.fourier import Fourier
from rimaging.operators.identity import Identity

NUMBERS = [2, 2.0, np.float32(2), np.float64(2), np.int64(2), np.array(2.0), np.array([2])]
TENSORS = [torch.tensor(2.0), torch.tensor([[2]]), Identity((3, 3)).norm() * 2]


@pytest.mark.parametrize("factor", [*NUMBERS, *TENSORS], ids=repr)
def test_a_real_factor_of_any_kind_from_either_side(factor: Any) -> None:
    x = torch.rand(3, 4)
    for scaled in (factor * Identity((3, 4)), Identity((3, 4)) * factor):
        assert torch.equal(scaled(x), 2 * x) and torch.equal(scaled.adjoint(x), 2 * x)


@pytest.mark.parametrize("factor", [2j, np.complex64(2j), np.array(2j), torch.tensor(2j)])
def test_a_complex_factor_of_any_kind_is_for_complex_operators_alone(factor: Any) -> None:
    x = torch.rand(3, 4) + 0j
    operator = Fourier((3, 4))
    for scaled in (factor * operator, operator * factor):
        torch.testing.assert_close(scaled.adjoint(x), -2j * operator.adjoint(x))
    with pytest.raises(OptionError, match="real factor"):
        factor * Identity((3, 4))
    with pytest.raises(OptionError, match="real factor"):
        Identity((3, 4)) * factor


WRONG = {
    "an operator": (Identity((3, 4)), "A @ B"),
    "an image": (torch.rand(3, 4), r"A\(x\)"),
    "an array": (np.ones(3), "Sampling"),
    "a word": ("2", "number"),
    "nothing": (None, "number"),
    "infinity": (float("inf"), "finite"),
    "NaN": (torch.tensor(torch.nan), "finite"),
    "what is learned": (torch.nn.Parameter(torch.tensor(2.0)), "learned"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_factor_is_refused_from_either_side(case: str) -> None:
    factor, words = WRONG[case]
    with pytest.raises(OptionError, match=words):
        as_factor(factor)
    with pytest.raises(OptionError, match=words):
        Identity((3, 4)) * factor  # type: ignore[operator]
    with pytest.raises(OptionError, match=words):
        factor * Identity((3, 4))  # type: ignore[operator]
