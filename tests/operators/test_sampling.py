from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.errors import DataError, ShapeError
from rimaging.operators.sampling import Sampling
from rimaging.testing import (
    assert_laws,
    assert_normal_bound,
    batches,
    dtypes,
    random_element,
    shapes,
)


def random_mask(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.5
    mask[..., 0] = True
    return mask


@given(shape=st.one_of(shapes(2), shapes(3, max_size=5)), batch=batches(), data=st.data())
def test_laws(shape: tuple[int, ...], batch: tuple[int, ...], data: st.DataObject) -> None:
    """Each item has its own mask, and real and complex samples are both kept."""
    dtype = data.draw(dtypes(is_complex=False) | dtypes(is_complex=True))
    assert_laws(Sampling(random_mask((*batch, *shape)), ndim=len(shape), dtype=dtype), batch)


@given(shape=shapes(2))
def test_a_mask_of_zeros_and_ones_projects(shape: tuple[int, ...]) -> None:
    operator = Sampling(random_mask(shape))
    x = random_element(operator.domain, (3,))
    assert torch.equal(operator(operator(x)), operator(x))
    assert torch.equal(operator(x), torch.where(operator.mask > 0, x, 0))


def test_a_real_mask_weighs() -> None:
    weights = torch.rand(4, 5, dtype=torch.float64)
    assert_laws(Sampling(weights, dtype=torch.float64))
    assert_normal_bound(Sampling(weights, dtype=torch.float64))


def test_colour_channels_are_batch() -> None:
    mask = random_mask((4, 5))
    x = torch.rand(2, 3, 4, 5)
    assert torch.equal(Sampling(mask)(x), mask * x)


@pytest.mark.parametrize(
    ("mask", "error", "repair"),
    [
        (torch.ones(5), ShapeError, "one value for each sample"),
        (torch.full((2, 2), torch.nan), DataError, "set samples without data to 0"),
        (torch.zeros(2, 2), DataError, "nothing would be measured"),
        (torch.ones(2, 2, dtype=torch.complex64), DataError, "booleans or real weights"),
    ],
)
def test_refuses_bad_masks(mask: torch.Tensor, error: type[Exception], repair: str) -> None:
    with pytest.raises(error, match=repair):
        Sampling(mask)


def test_refuses_an_image_of_another_size() -> None:
    with pytest.raises(ShapeError, match=r"got \(4, 6\)"):
        Sampling(torch.ones(4, 5))(torch.zeros(4, 6))
