from __future__ import annotations

import pytest
import torch
from hypothesis import given

from rimaging.errors import ShapeError
from rimaging.operators.space import Space
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
