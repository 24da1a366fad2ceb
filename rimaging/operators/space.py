"""Spaces: the shape and the kind of number that an operator maps from and to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from rimaging.errors import ShapeError


@dataclass(frozen=True)
class Space:
    """The set of tensors ``(*batch, *shape)`` of one kind, real or complex; the batch is free.

    ``dtype`` says real or complex and the default precision. Single and double precision are
    both accepted, since results follow the tensors that come in.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def is_complex(self) -> bool:
        """Whether elements are complex."""
        return self.dtype.is_complex

    @property
    def real_dtype(self) -> torch.dtype:
        """The kind of one real component."""
        return self.dtype.to_real()

    @property
    def size(self) -> int:
        """The number of elements without batch."""
        return math.prod(self.shape)

    def expand(self, weight: torch.Tensor) -> torch.Tensor:
        """View a weight that broadcasts to ``(*batch, *shape)`` with every axis of the space."""
        ndim = len(self.shape)
        weight = weight[(None,) * max(0, ndim - weight.ndim)]
        return weight.expand(*weight.shape[: weight.ndim - ndim], *self.shape)

    def check(self, x: torch.Tensor, name: str) -> None:
        """Raise `ShapeError` unless ``x`` has the trailing axes and the kind of the space."""
        trailing = tuple(x.shape[x.ndim - len(self.shape) :]) if x.ndim >= len(self.shape) else None
        if trailing != self.shape:
            wanted = ", ".join(map(str, ("...", *self.shape)))
            raise ShapeError(
                f"{name} expects ({wanted}), got {tuple(x.shape)}: "
                "crop or pad the array, or build the operator for this size"
            )
        if x.is_complex() != self.is_complex:
            raise ShapeError(
                f"{name} expects {'complex' if self.is_complex else 'real'} numbers, "
                f"got {str(x.dtype).removeprefix('torch.')}: convert the array first"
            )

    def __str__(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')}{list(self.shape)}"
