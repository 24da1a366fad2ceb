"""NumPy or torch in, whichever is needed inside."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_numpy(array: NDArray[Any] | Tensor) -> NDArray[Any]:
    """Give a NumPy array, copied from the device if need be and without gradients."""
    return array.detach().cpu().numpy() if isinstance(array, Tensor) else np.asarray(array)


def to_torch(array: NDArray[Any] | Tensor) -> Tensor:
    """Give a tensor without gradients; NumPy arrays are copied into native byte order.

    A FITS image is big-endian and often read-only: torch refuses the one and warns of the other.
    """
    if isinstance(array, Tensor):
        return array.detach()
    values = np.asarray(array)
    return torch.from_numpy(np.array(values, dtype=values.dtype.newbyteorder("=")))
