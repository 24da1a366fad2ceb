"""Missing samples of k-space, filled one item at a time: the frame of GRAPPA and POCS."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rimaging.errors import ShapeError

__all__ = ["each_filled"]


def each_filled(
    kspace: Tensor,
    mask: Tensor,
    fill: Callable[..., Tensor],
    name: str,
    *beside: Tensor,
) -> Tensor:
    """K-space ``(..., coil, y, x)`` with ``fill(m y, m, ...)`` applied to each ``(coil, y, x)``.

    Args:
        kspace: complex. mask: ``(..., y, x)``, above zero where measured; all items may share it.
        fill: from measured samples and a boolean mask ``(y, x)`` to all samples of an item.
        name: of the method, for the error.
        beside: more k-space ``(..., coil, y, x)`` that ``fill`` takes, shared as the mask may be.

    Raises ShapeError for a mask that does not fit.
    """
    size = tuple(kspace.shape[-2:])
    if kspace.ndim < 3 or tuple(mask.shape[-2:]) != size:
        raise ShapeError(
            f"{name} got k-space {tuple(kspace.shape)} and a mask {tuple(mask.shape)}: expected "
            "(..., coil, y, x) and (..., y, x)"
        )
    measured = (mask > 0).expand(*kspace.shape[:-3], *size).reshape(-1, *size)
    items = kspace.reshape(-1, *kspace.shape[-3:])
    others = [other.expand(kspace.shape).reshape(items.shape) for other in beside]
    filled = [fill(k * m, m, *rest) for k, m, *rest in zip(items, measured, *others, strict=True)]
    return torch.stack(filled).reshape(kspace.shape)
