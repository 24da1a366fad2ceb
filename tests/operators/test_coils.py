from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.errors import DataError, ShapeError
from rimaging.operators.coils import CoilSensitivities
from rimaging.testing import assert_laws, batches, dtypes, random_element, shapes


def random_maps(shape: tuple[int, ...], dtype: torch.dtype = torch.complex128) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


@given(
    shape=st.one_of(shapes(2, max_size=7), shapes(3, max_size=4)),
    coils=st.integers(1, 4),
    sets=st.sampled_from([None, 1, 2]),
    batch=batches(),
    dtype=dtypes(is_complex=True),
)
def test_laws(
    shape: tuple[int, ...],
    coils: int,
    sets: int | None,
    batch: tuple[int, ...],
    dtype: torch.dtype,
) -> None:
    leading = (*batch, coils) if sets is None else (*batch, sets, coils)
    maps = random_maps((*leading, *shape), dtype)
    assert_laws(CoilSensitivities(maps, sets=sets is not None, ndim=len(shape)), batch)


def test_sets_are_summed() -> None:
    maps = random_maps((2, 3, 4, 5))
    operator = CoilSensitivities(maps, sets=True)
    x = random_element(operator.domain, (6,))
    parts = [CoilSensitivities(maps[s])(x[:, s]) for s in range(2)]
    torch.testing.assert_close(operator(x), parts[0] + parts[1])


def test_one_image_is_broadcast_to_the_maps_of_each_item() -> None:
    maps = random_maps((2, 3, 4, 5))
    operator = CoilSensitivities(maps)
    x = random_element(operator.domain)
    assert torch.equal(operator(x), operator(x.expand(2, 4, 5)))


@pytest.mark.parametrize(
    ("maps", "error", "repair"),
    [
        (torch.ones(4, 5, dtype=torch.complex64), ShapeError, r"maps\[None\]"),
        (torch.ones(2, 4, 5), DataError, "torch.complex64"),
        (torch.full((2, 4, 5), torch.nan * 1j), DataError, "outside the object"),
        (torch.zeros(2, 4, 5, dtype=torch.complex64), DataError, "estimate them anew"),
    ],
)
def test_refuses_bad_maps(maps: torch.Tensor, error: type[Exception], repair: str) -> None:
    with pytest.raises(error, match=repair):
        CoilSensitivities(maps)
