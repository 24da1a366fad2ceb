from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.datasets.arrays import fill_invalid, to_tensor
from rimaging.errors import DataError


@given(
    st.sampled_from([">f4", "<f8", ">f8", ">i2", "<u2", "u1", "?", ">c8", "<c16"]),
    st.sampled_from([slice(None), slice(None, None, -1), slice(None, None, 2)]),
)
def test_every_numeric_array_becomes_a_tensor_of_the_same_values(dtype: str, step: slice) -> None:
    array = (np.arange(24).reshape(4, 6) % 7).astype(dtype)[step]
    tensor = to_tensor(array)
    assert tensor.dtype == (torch.complex64 if array.dtype.kind == "c" else torch.float32)
    assert np.array_equal(tensor.numpy(), array)


@pytest.mark.parametrize("dtype", ["u1", ">i2", "f4", ">f8", "c8"])
def test_what_numpy_masks_is_nan(dtype: str) -> None:
    values = np.arange(6).astype(dtype).reshape(2, 3)
    hidden = values == 4
    tensor = to_tensor(np.ma.masked_array(values, hidden))
    assert np.array_equal(torch.isnan(tensor).numpy(), hidden)
    assert np.array_equal(tensor.numpy()[~hidden], values[~hidden])
    assert np.array_equal(to_tensor(np.ma.masked_array(values)).numpy(), values)


def test_torch_keeps_its_precision_and_memory() -> None:
    tensor = torch.zeros(3, dtype=torch.complex128)
    assert to_tensor(tensor) is tensor


def test_a_conjugate_that_torch_has_put_off_is_made() -> None:
    values = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.complex64)
    late = values.conj()
    assert late.is_conj() and late.imag.is_neg()
    tensor, negative = to_tensor(late), to_tensor(late.imag)
    assert not tensor.is_conj() and not negative.is_neg()
    assert torch.equal(torch.view_as_real(tensor)[..., 1], -values.imag)
    assert torch.equal(negative, -values.imag)


@pytest.mark.parametrize("tensor", [torch.eye(3).to_sparse(), torch.eye(3, device="meta")])
def test_a_tensor_without_dense_values_is_refused(tensor: torch.Tensor) -> None:
    with pytest.raises(DataError, match="expected a dense one"):
        to_tensor(tensor, "image")


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.zeros((0, 3))])
def test_what_is_no_number_is_refused(array: np.ndarray) -> None:
    with pytest.raises(DataError, match="image"):
        to_tensor(array, "image")


def test_an_object_that_holds_an_array_is_named() -> None:
    """An HDU or an uncertainty of astropy, say, of which NumPy makes an array of one object."""
    from astropy.io import fits

    with pytest.raises(DataError, match="image is a PrimaryHDU, expected numbers: give the array"):
        to_tensor(fits.PrimaryHDU(np.zeros((3, 3))), "image")


def test_filled_pixels_have_weight_zero_and_the_rest_stays() -> None:
    data = torch.arange(12.0).reshape(3, 4)
    data[1, 2] = torch.nan
    data[0, 0] = torch.inf
    filled, mask, where = fill_invalid(data)
    assert where is not None
    assert torch.isfinite(filled).all()
    assert mask is not None
    assert torch.equal(mask == 0, ~torch.isfinite(data)) and torch.equal(where, mask == 0)
    assert torch.equal(filled[mask > 0], data[mask > 0])


def test_an_image_of_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="nothing was measured"):
        fill_invalid(torch.full((4, 4), torch.nan))
