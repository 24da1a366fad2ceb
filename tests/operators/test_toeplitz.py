from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rimaging.errors import ShapeError
from rimaging.operators.nufft import NUFFT
from rimaging.operators.toeplitz import Toeplitz
from rimaging.operators.trajectories import random
from rimaging.testing import assert_laws, random_element, shapes


@settings(max_examples=8)
@given(
    shape=st.one_of(shapes(2, 1, 9), shapes(3, 1, 4)),
    own=st.booleans(),
    weighted=st.booleans(),
    double=st.booleans(),
)
def test_it_is_the_normal_of_the_transform(
    shape: tuple[int, ...], own: bool, weighted: bool, double: bool
) -> None:
    k = torch.cat([random(shape, 15, seed) for seed in range(2)]) if own else random(shape, 15)[0]
    weight = torch.rand(2, 15, dtype=torch.float64) if weighted else None
    dtype = torch.complex128 if double else torch.complex64
    transform, normal = NUFFT(k, shape, dtype=dtype), Toeplitz(k, shape, weight, dtype)
    x = random_element(transform.domain, (3, 2))
    y = transform(x)
    expected = transform.adjoint(y if weight is None else weight.to(y.real.dtype) * y)
    error = 1e-10 if double else 1e-6
    assert (normal(x) - expected).norm() <= error * (expected.norm() + y.norm())


@pytest.mark.parametrize("shape", [(5, 8), (7, 1), (3, 2, 4)])
def test_keeps_the_laws(shape: tuple[int, ...]) -> None:
    assert_laws(Toeplitz(random(shape, 12)[0], shape, dtype=torch.complex128), diagonal=False)


def test_its_matrix_has_these_entries() -> None:
    operator = Toeplitz(random((4, 3), 7)[0], (4, 3), dtype=torch.complex128)
    x = random_element(operator.domain)
    torch.testing.assert_close(operator.matrix() @ x.flatten(), operator(x).flatten())


def test_parts_of_a_long_trajectory_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    k = random((6, 5), 23)[0]
    whole = Toeplitz(k, (6, 5)).kernel
    monkeypatch.setattr("rimaging.operators.toeplitz.CHUNK", 5)
    torch.testing.assert_close(Toeplitz(k, (6, 5)).kernel, whole)


def test_it_is_differentiable() -> None:
    operator = Toeplitz(random((4, 3), 7)[0], (4, 3), dtype=torch.complex128)
    assert torch.autograd.gradcheck(operator, random_element(operator.domain).requires_grad_())


def test_weights_of_other_samples_are_refused() -> None:
    with pytest.raises(ShapeError, match="one weight for each sample"):
        Toeplitz(random((4, 3), 7)[0], (4, 3), torch.ones(6))
