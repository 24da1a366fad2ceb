from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.errors import OptionError
from rimaging.operators.projection import Ensemble, RandomProjection
from rimaging.testing import (
    assert_adjoint,
    assert_laws,
    assert_linear,
    assert_normal,
    assert_normal_diagonal,
    batches,
    dtypes,
    random_element,
    shapes,
)

ENSEMBLES = st.sampled_from(["gaussian", "binary", "fourier"])


@given(
    shape=shapes(max_size=7),
    ensemble=ENSEMBLES,
    batch=batches(max_axes=1),
    dtype=dtypes(is_complex=False),
    data=st.data(),
)
def test_laws(
    shape: tuple[int, ...],
    ensemble: Ensemble,
    batch: tuple[int, ...],
    dtype: torch.dtype,
    data: st.DataObject,
) -> None:
    """Each item has its own matrix."""
    count = data.draw(st.integers(1, shape[0] * shape[1]))
    seed = list(range(batch[0])) if batch else 5
    operator = RandomProjection(shape, count, ensemble, seed, dtype)
    assert_linear(operator, batch)
    assert_adjoint(operator, batch)
    assert_normal(operator, batch)
    assert_normal_diagonal(operator, batch)


@pytest.mark.parametrize("ensemble", ["gaussian", "binary", "fourier"])
def test_all_laws(ensemble: Ensemble) -> None:
    assert_laws(RandomProjection((4, 5), 8, ensemble, dtype=torch.float64))


@pytest.mark.parametrize("ensemble", ["gaussian", "binary", "fourier"])
def test_columns_have_unit_expected_norm(ensemble: Ensemble) -> None:
    """The mean over 600 columns of their squared norm is within five standard errors of one."""
    diagonal = RandomProjection((20, 30), 60, ensemble).normal_diagonal()
    assert abs(diagonal.mean().item() - 1) < 5 * (2 / 60 / 600) ** 0.5


@given(shape=shapes(max_size=7))
def test_the_whole_fourier_ensemble_is_orthogonal(shape: tuple[int, ...]) -> None:
    count = shape[0] * shape[1]
    matrix = RandomProjection(shape, count, "fourier", dtype=torch.float64).matrix
    torch.testing.assert_close(matrix @ matrix.mT, torch.eye(count, dtype=torch.float64))


def test_binary_has_two_values() -> None:
    matrix = RandomProjection((3, 4), 4, "binary").matrix
    assert set(matrix.unique().tolist()) == {-0.5, 0.5}


def test_the_seed_decides() -> None:
    first, same, other = (RandomProjection((4, 4), 6, seed=seed).matrix for seed in (1, 1, 2))
    assert torch.equal(first, same) and not torch.equal(first, other)
    both = RandomProjection((4, 4), 6, seed=[1, 2])
    x = random_element(both.domain, (2,))
    torch.testing.assert_close(both(x)[1], RandomProjection((4, 4), 6, seed=2)(x[1]))


def test_refuses_impossible_counts() -> None:
    with pytest.raises(OptionError, match="from 1 to 16"):
        RandomProjection((4, 4), 17, "fourier")
    with pytest.raises(OptionError, match="gaussian, binary, fourier"):
        RandomProjection((4, 4), 2, "uniform")  # type: ignore[arg-type]
