"""Sampling: keep what was measured; in-painting when the pixels are those of an image."""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.errors import DataError, ShapeError
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.space import Space, check_tensor


class Sampling(LinearOperator):
    """``A x = m x``: zero where the mask is zero.

    Args:
        mask: ``(*batch, *shape)``, boolean or real (a real mask weighs its samples).
        ndim: how many trailing axes make up one item; all before them are batch. A mask of k-space
            with its coil axis has 3 in two dimensions.
        dtype: real for images (in-painting), complex for k-space.

    Raises:
        ShapeError: fewer axes than ``ndim``.
        DataError: a mask that is complex, not finite, or zero everywhere.
    """

    def __init__(self, mask: Tensor, ndim: int = 2, dtype: torch.dtype = torch.float32) -> None:
        check_tensor(mask, "Sampling")
        if not 1 <= ndim <= mask.ndim:
            raise ShapeError(
                f"Sampling expects a mask of {ndim} axes or more, got {tuple(mask.shape)}: "
                "give one value for each sample"
            )
        space = Space(tuple(mask.shape[-ndim:]), dtype)
        super().__init__(space, space)
        self.mask: Tensor
        self.register_buffer("mask", checked_mask(mask, space.real_dtype, "Sampling"))

    def _forward(self, x: Tensor) -> Tensor:
        return self.mask * x

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.mask * y

    def _normal(self, x: Tensor) -> Tensor:
        return self.mask**2 * x

    @property
    def measured(self) -> Tensor:
        """Where the mask is not zero."""
        return (self.mask != 0).to(self.mask.dtype)

    @property
    def locality(self) -> int:
        """Zero: no pixel sees another."""
        return 0

    def normal_diagonal(self, weight: Tensor | None = None) -> Tensor:
        """``m^2 w``."""
        return self.mask**2 if weight is None else self.mask**2 * weight

    def normal_bound(self, weight: Tensor | None = None) -> Tensor:
        """``m^2 w``, which is all that the rows hold."""
        return self.normal_diagonal(weight)


def checked_mask(mask: Tensor, dtype: torch.dtype, name: str) -> Tensor:
    """Give the mask as real numbers, or raise `DataError` when nothing can be measured with it."""
    if mask.is_complex():
        raise DataError(
            f"{name} got a complex mask: give booleans or real weights, such as `kspace != 0`"
        )
    mask = mask.to(dtype)
    if not bool(torch.isfinite(mask).all()):
        raise DataError(f"{name} got a mask with NaN or inf: set samples without data to 0")
    if not bool((mask != 0).any()):
        raise DataError(f"{name} got a mask that is zero everywhere: nothing would be measured")
    return mask
