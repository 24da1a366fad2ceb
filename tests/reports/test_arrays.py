"""Arrays of either kind arrive as the other, values untouched."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from rimaging.reports.arrays import to_numpy, to_torch


@pytest.mark.parametrize("dtype", [">f4", "<f8", ">c8", "u1", "?"])
def test_any_byte_order_and_read_only_arrays_become_tensors(dtype: str) -> None:
    array = np.broadcast_to(np.arange(3).astype(dtype), (2, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = to_torch(array)
    np.testing.assert_array_equal(tensor.numpy(), array)


def test_gradients_stay_outside() -> None:
    tensor = torch.ones(3, requires_grad=True)
    assert not to_torch(tensor).requires_grad
    np.testing.assert_array_equal(to_numpy(tensor), np.ones(3))
