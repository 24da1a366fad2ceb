"""Which picture of many is shown: the middle one, or the nearest to it that holds something."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["middle", "nearest_known", "one_field"]


def middle(array: Tensor, axes: int) -> Tensor:
    """The middle entry of each axis in front of the last ``axes``."""
    while array.ndim > axes:
        array = array[len(array) // 2]
    return array


def nearest_known(array: Tensor, known: Tensor) -> Tensor:
    """Of bands ``(..., y, x)`` that nearest the middle in which ``known``, as large, is finite.

    The middle one where none is.
    """
    seen = torch.isfinite(known).flatten(-2).any(dim=-1).flatten()
    number = torch.arange(len(seen), device=seen.device)
    place = int(middle(number.reshape(array.shape[:-2]), 0))
    if bool(seen.any()):
        place = int(torch.where(seen, (number - place).abs(), len(seen)).argmin())
    return array.reshape(-1, *array.shape[-2:])[place]


def one_field(before: Tensor, after: Tensor) -> bool:
    """Whether two pictures have the same shape, up to an enlargement."""
    if before.ndim != after.ndim:
        return False
    return before.shape[-2] * after.shape[-1] == before.shape[-1] * after.shape[-2]
