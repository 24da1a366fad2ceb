from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given

from rimaging.errors import DataError, ShapeError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.coils import CoilSensitivities
from rimaging.operators.convolution import Convolution
from rimaging.operators.nufft import NUFFT
from rimaging.operators.resampling import Bicubic
from rimaging.operators.sampling import Sampling
from rimaging.operators.space import Space
from rimaging.operators.varying_convolution import VaryingConvolution
from rimaging.testing import batches, dtypes, random_element, shapes


@given(shape=shapes(), batch=batches(), dtype=dtypes(is_complex=False) | dtypes(is_complex=True))
def test_accepts_its_elements_with_any_batch(
    shape: tuple[int, ...], batch: tuple[int, ...], dtype: torch.dtype
) -> None:
    space = Space(shape, dtype)
    x = random_element(space, batch)
    space.check(x, "x")
    assert x[(0,) * len(batch)].numel() == space.size
    assert space.real_dtype == (x.real.dtype if space.is_complex else x.dtype)


@given(shape=shapes(), batch=batches())
def test_refuses_every_other_shape(shape: tuple[int, ...], batch: tuple[int, ...]) -> None:
    space = Space(shape, torch.float32)
    wrong = torch.zeros(*batch, shape[0], shape[1] + 1)
    with pytest.raises(ShapeError, match="crop or pad") as caught:
        space.check(wrong, "Blur.forward")
    assert str(caught.value).startswith("Blur.forward expects (...")
    assert str(tuple(wrong.shape)) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ShapeError):
        space.check(torch.zeros(shape[1:]), "x")


def test_tells_real_from_complex() -> None:
    with pytest.raises(ShapeError, match="expects complex numbers, got float32"):
        Space((3,), torch.complex64).check(torch.zeros(3), "x")
    with pytest.raises(ShapeError, match="expects real numbers, got complex64"):
        Space((3,), torch.float32).check(torch.zeros(3, dtype=torch.complex64), "x")
    Space((3,), torch.float32).check(torch.zeros(3, dtype=torch.float64), "x")


@pytest.mark.parametrize("shape", [(), (1,), (5,), (4, 1), (2, 4, 5), (2, 1, 1)])
def test_expands_weights_over_the_space(shape: tuple[int, ...]) -> None:
    weight = torch.rand(shape)
    expanded = Space((4, 5), torch.float32).expand(weight)
    assert expanded.shape[-2:] == (4, 5)
    assert torch.equal(expanded, weight * torch.ones(4, 5))


def test_sizes_are_whole_numbers_of_any_kind() -> None:
    space = Space(tuple(np.array([3, 4])), torch.float32)
    assert space == Space((3, 4), torch.float32) and all(type(n) is int for n in space.shape)
    for wrong in ((0, 4), (3, -4), (3.0, 4)):
        with pytest.raises(ShapeError, match="whole numbers"):
            Space(wrong, torch.float32)  # type: ignore[arg-type]


def test_no_operator_counts_in_whole_numbers() -> None:
    """Weights of less than one would all be zero."""
    with pytest.raises(DataError, match="float32"):
        Bicubic((8, 6), 2, dtype=torch.int32)


def test_an_array_of_numpy_and_an_empty_batch_are_refused() -> None:
    with pytest.raises(DataError, match="from_numpy"):
        Space((3,), torch.float32).check(np.zeros(3), "x")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="nothing"):
        Space((3,), torch.float32).check(torch.zeros(0, 3), "x")


@pytest.mark.parametrize(
    "build",
    [
        lambda a: Convolution(a, (8, 8)),
        lambda a: Sampling(a),
        lambda a: CoilSensitivities(a[None] + 0j),
        lambda a: CartesianMRI(torch.ones(1, 3, 3) + 0j, a),
        lambda a: NUFFT(a[:, :2], (8, 8)),
        lambda a: VaryingConvolution(a[None], torch.ones(1, 8, 8), (8, 8)),
    ],
)
def test_operators_are_built_from_tensors(build: Callable[[np.ndarray], object]) -> None:
    with pytest.raises(DataError, match="from_numpy"):
        build(np.ones((3, 3), np.float32))
