"""CG solves the normal equations as a dense solver does, each item of a batch for itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.space import Space
from rimaging.solvers.cg import cg


class Dense(LinearOperator):
    """A matrix per batch item, ``(*batch, m, n)``."""

    def __init__(self, matrix: Tensor) -> None:
        m, n = matrix.shape[-2:]
        super().__init__(Space((n,), matrix.dtype), Space((m,), matrix.dtype))
        self.register_buffer("matrix", matrix)

    def _forward(self, x: Tensor) -> Tensor:
        return (self.matrix @ x.unsqueeze(-1)).squeeze(-1)

    def _adjoint(self, y: Tensor) -> Tensor:
        return (self.matrix.mH @ y.unsqueeze(-1)).squeeze(-1)


def dense(seed: int, dtype: torch.dtype, *shape: int) -> Dense:
    return Dense(torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed)))


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 8),
    damping=st.floats(0, 10),
    dtype=st.sampled_from([torch.float64, torch.complex128]),
)
def test_equals_numpy_solve(seed: int, n: int, damping: float, dtype: torch.dtype) -> None:
    operator = dense(seed, dtype, n + 3, n)
    generator = torch.Generator().manual_seed(seed + 1)
    weight = torch.rand(n + 3, generator=generator, dtype=torch.float64) + 0.1
    b = torch.randn(n, dtype=dtype, generator=generator)
    found = cg(operator, b, damping=damping, weight=weight, iterations=10 * n, tolerance=1e-12)
    a = operator.matrix.numpy()
    system = a.conj().T @ (weight.numpy()[:, None] * a) + damping * np.eye(n)
    expected = np.linalg.solve(system, b.numpy())
    error = np.linalg.norm(found.x.numpy() - expected)
    assert error <= 1e-10 * np.linalg.cond(system) * np.linalg.norm(expected)


def test_an_item_does_not_depend_on_its_neighbours() -> None:
    operator = dense(0, torch.float64, 3, 12, 8)
    operator.matrix[1] *= torch.logspace(0, -2, 8, dtype=torch.float64)  # converges last
    b = torch.randn(3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    b[2] = 0  # has converged before it begins
    together = cg(operator, b, iterations=60, tolerance=1e-9)
    for i in range(3):
        alone = cg(Dense(operator.matrix[i]), b[i], iterations=60, tolerance=1e-9)
        torch.testing.assert_close(together.x[i], alone.x, rtol=1e-9, atol=0)
        assert together.iterations[i] == alone.iterations
    assert together.iterations[2] == 0
    assert together.iterations[1] > together.iterations[0]
    assert together.x.isfinite().all()


def test_stops_at_the_tolerance_and_says_where_it_stands() -> None:
    operator = dense(2, torch.float64, 40, 20)
    b = torch.randn(4, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    loose = cg(operator, b, damping=1.0, iterations=50, tolerance=1e-3)
    true = b - operator.normal(loose.x) - loose.x
    relative = true.norm(dim=-1) / b.norm(dim=-1)
    torch.testing.assert_close(loose.residual, relative, rtol=1e-6, atol=0)
    assert (relative <= 1e-3).all()
    fewer = cg(operator, b, damping=1.0, iterations=int(loose.iterations.max()) - 1, tolerance=1e-3)
    assert (fewer.residual > 1e-3).any()


def test_begins_at_x0_and_damps_each_item_by_its_own() -> None:
    operator = dense(4, torch.float64, 10, 6)
    generator = torch.Generator().manual_seed(5)
    b = torch.randn(2, 6, dtype=torch.float64, generator=generator)
    damping = torch.tensor([[0.5], [5.0]], dtype=torch.float64)
    found = cg(operator, b, damping=damping, iterations=50, tolerance=1e-13).x
    again = cg(operator, b, damping=damping, x0=found, iterations=50, tolerance=1e-9)
    assert (again.iterations == 0).all()
    for i in range(2):
        alone = cg(operator, b[i], damping=float(damping[i]), iterations=50, tolerance=1e-13).x
        torch.testing.assert_close(found[i], alone, rtol=1e-9, atol=0)


def test_refuses_what_has_no_answer() -> None:
    operator = dense(6, torch.float64, 4, 3)
    b = torch.ones(3, dtype=torch.float64)
    with pytest.raises(OptionError, match="damping=-1"):
        cg(operator, b, damping=-1)
    with pytest.raises(OptionError, match="iterations=0"):
        cg(operator, b, iterations=0)
    with pytest.raises(DataError, match="NaN"):
        cg(operator, b * torch.nan)
    with pytest.raises(ShapeError):
        cg(operator, torch.ones(4, dtype=torch.float64))
