"""Spaces: the shape and the kind of number that an operator maps from and to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral

import torch

from rimaging.errors import DataError, ShapeError


@dataclass(frozen=True)
class Space:
    """The set of tensors ``(*batch, *shape)`` of one kind, real or complex; the batch is free.

    ``dtype`` says real or complex and the default precision. Single and double precision are both
    accepted; of an operator in double precision most results are double, whatever comes in.

    Raises ShapeError for sizes that are no whole numbers from 1 on, DataError for a ``dtype`` of
    whole numbers.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype

    def __post_init__(self) -> None:
        if not all(isinstance(size, Integral) and size > 0 for size in self.shape):
            raise ShapeError(f"the shape is {self.shape}: give whole numbers from 1 on")
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        if not (self.dtype.is_floating_point or self.dtype.is_complex):
            raise DataError(
                f"an operator of {str(self.dtype).removeprefix('torch.')} is none: give a dtype of "
                "real or complex numbers, torch.float32 or torch.complex64"
            )

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
        """Raise `ShapeError` unless ``x`` has the trailing axes and the kind of the space.

        `DataError` for what is no tensor at all.
        """
        check_tensor(x, name)
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

        if x.numel() == 0:
            raise ShapeError(f"{name} got {tuple(x.shape)}, a batch of nothing: leave it out")

    def __str__(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')}{list(self.shape)}"


def check_tensor(value: object, name: str) -> None:
    """Raise `DataError` for an array that is no tensor of torch."""
    if not isinstance(value, torch.Tensor):
        raise DataError(
            f"{name} got a {type(value).__name__}, expected a torch tensor: give "
            "torch.from_numpy(array)"
        )
