"""NumPy or torch in, torch out: native byte order, contiguous, float32 or complex64."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rimaging.errors import DataError

__all__ = ["fill_invalid", "to_tensor"]


def to_tensor(array: Any, name: str = "array") -> Tensor:
    """Give an array as a torch tensor, real numbers as float32 and complex ones as complex64.

    Big-endian arrays (FITS), negative strides, integers and conjugates that torch has put off are
    converted; a torch tensor keeps its device and, when it is floating or complex, its precision.
    What NumPy's mask hides becomes NaN, which is masked or refused like any other.

    Raises DataError for text, objects, records, sparse tensors and empty arrays.
    """
    if isinstance(array, Tensor):
        if array.layout != torch.strided or array.is_meta:
            kind = "without values" if array.is_meta else str(array.layout).removeprefix("torch.")
            raise DataError(f"{name} is a tensor {kind}, expected a dense one: use to_dense().")
        tensor = array.resolve_conj().resolve_neg()
        if not (tensor.is_floating_point() or tensor.is_complex()):
            tensor = tensor.to(torch.float32)
    else:
        values: np.ndarray = np.asarray(array)
        if values.dtype.kind == "O" and values.ndim == 0:
            kind = type(array).__name__
            raise DataError(f"{name} is a {kind}, expected numbers: give the array that it holds.")
        if values.dtype.kind not in "buifc":
            raise DataError(f"{name} has dtype {values.dtype}, expected numbers: convert it first.")
        wanted = np.complex64 if values.dtype.kind == "c" else np.float32
        # copy: np.load's and h5py's arrays may be read-only, which torch warns of
        values = np.array(values, dtype=wanted, order="C")
        if isinstance(array, np.ma.MaskedArray):
            values[np.ma.getmaskarray(array)] = np.nan
        tensor = torch.from_numpy(values)
    if tensor.numel() == 0:
        shape = tuple(tensor.shape)
        raise DataError(f"{name} is empty, shape {shape}: expected at least one value.")
    return tensor


def fill_invalid(
    data: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Replace NaN and infinite pixels by the median and mask them: ``(data, mask, filled)``.

    One NaN would make every pixel NaN after an FFT. The mask is 0 there and 1 elsewhere, times
    ``mask``; it stays as it came when every pixel is finite, and ``filled``, true there, is None.

    Raises DataError when no pixel is finite.
    """
    finite = torch.isfinite(data)
    count = int(data.numel() - finite.sum())
    if count == 0:
        return data, mask, None
    if count == data.numel():
        raise DataError("every pixel is NaN or infinite: nothing was measured.")
    weight = finite.to(torch.float32)
    level = data[finite].real.median() if data.is_complex() else data[finite].median()
    filled = torch.where(finite, data, level.to(data.dtype))
    return filled, weight if mask is None else weight * mask, ~finite


def filled_notes(filled: Tensor | None) -> list[str]:
    """What provenance says of the pixels that `fill_invalid` filled: nothing of none."""
    if filled is None:
        return []
    return [f"{int(filled.sum())} NaN pixels masked and filled with the median"]
