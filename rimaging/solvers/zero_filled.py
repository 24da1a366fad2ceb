"""The zero-filled image: what the data say when nothing else is known."""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.coils import root_sum_of_squares, weighted_power
from rimaging.operators.fourier import Fourier


def zero_filled(
    kspace: Tensor, mask: Tensor, maps: Tensor | None = None, *, sets: bool = False
) -> Tensor:
    """The adjoint image ``A* y = S* F* P y``; without maps the root-sum-of-squares of the coils.

    Args:
        kspace: complex ``(..., coil, y, x)``.
        mask: ``(..., y, x)``, 1 where measured.
        maps: complex ``(..., coil, y, x)``, or with ``sets`` ``(..., set, coil, y, x)``.
        sets: whether the maps carry a set axis.

    Returns:
        Complex ``(..., y, x)`` (with ``sets`` ``(..., set, y, x)``); without maps real ``(..., y,
        x)``.

    Raises:
        ShapeError: arrays that do not fit each other.
    """
    if maps is not None:
        return CartesianMRI(maps, mask, sets=sets).adjoint(kspace)
    size = (kspace.shape[-2], kspace.shape[-1])
    coils = Fourier(size).adjoint(kspace * mask.unsqueeze(-3))
    return root_sum_of_squares(coils)


def of_full_kspace(kspace: Tensor, maps: Tensor | None = None, *, sets: bool = False) -> Tensor:
    """The least-squares image of k-space without gaps: ``S* F* y / sum_c |S_c|^2``.

    0 where no coil sees. With ``sets`` ``S* F* y``, without maps the coils' RSS. See `zero_filled`.
    """
    everywhere = kspace.new_ones(kspace.shape[-2:], dtype=kspace.real.dtype)
    image = zero_filled(kspace, everywhere, maps, sets=sets)
    if maps is None or sets:
        return image
    power = weighted_power(maps, None, False, 2)
    return torch.where(power > 0, image / power, 0)
