from __future__ import annotations

import torch
from hypothesis import given

from rimaging.operators.identity import Identity
from rimaging.testing import (
    assert_laws,
    assert_normal_bound,
    batches,
    dtypes,
    random_element,
    shapes,
)


@given(shape=shapes(), batch=batches(), dtype=dtypes(is_complex=False) | dtypes(is_complex=True))
def test_laws(shape: tuple[int, ...], batch: tuple[int, ...], dtype: torch.dtype) -> None:
    assert_laws(Identity(shape, dtype), batch)
    assert_normal_bound(Identity(shape, dtype), batch)


def test_changes_nothing() -> None:
    x = random_element(Identity((3, 5)).domain, (2,))
    assert torch.equal(Identity((3, 5))(x), x)
