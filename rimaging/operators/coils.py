"""Coil sensitivities: what each receiver coil sees of the image."""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.errors import DataError, ShapeError
from rimaging.operators.fourier import spatial_axes
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.space import Space, check_tensor


class CoilSensitivities(LinearOperator):
    """``(A x)_c = S_c x``, or with several sets of maps (soft SENSE) ``(A x)_c = sum_s S_sc x_s``.

    Args:
        maps: complex, ``(*batch, coil, *spatial)``; with sets ``(*batch, set, coil, *spatial)``.
        sets: whether the maps have an axis of sets; images are then ``(*batch, set, *spatial)``.
        ndim: how many trailing axes are spatial, 2 or 3.

    Raises:
        ShapeError: too few axes. DataError: maps that are real, not finite, or zero everywhere.

    Source: Pruessmann et al., Magn. Reson. Med. 42 (1999); sets: Uecker et al., ESPIRiT, Magn.
    Reson. Med. 71 (2014).
    """

    def __init__(self, maps: Tensor, sets: bool = False, ndim: int = 2) -> None:
        maps = checked_maps(maps, sets, ndim, "CoilSensitivities")
        if not bool((maps != 0).any()):
            raise DataError(
                "CoilSensitivities got maps that are zero everywhere: estimate them anew"
            )
        spatial = tuple(maps.shape[-ndim:])
        coils = maps.shape[-ndim - 1]
        image = (maps.shape[-ndim - 2], *spatial) if sets else spatial
        super().__init__(Space(image, maps.dtype), Space((coils, *spatial), maps.dtype))
        self.sets = sets
        self.ndim = ndim
        self.maps: Tensor
        self.register_buffer("maps", maps)

    def _forward(self, x: Tensor) -> Tensor:
        return expand_coils(self.maps, x, self.sets, self.ndim)

    def _adjoint(self, y: Tensor) -> Tensor:
        return combine_coils(self.maps, y, self.sets, self.ndim)

    @property
    def locality(self) -> int | tuple[int, ...]:
        """Zero, or the axis of sets."""
        return (-self.ndim - 1,) if self.sets else 0

    def normal_diagonal(self, weight: Tensor | None = None) -> Tensor:
        """``sum_c |S_c|^2 w_c``."""
        weight = None if weight is None else self.range.expand(weight)
        return weighted_power(self.maps, weight, self.sets, self.ndim)


def expand_coils(maps: Tensor, x: Tensor, sets: bool, ndim: int) -> Tensor:
    """``S_c x``, or ``sum_s S_sc x_s``: an image becomes coil images."""
    z = x.unsqueeze(-ndim - 1)
    return _summed(maps, z, -ndim - 2) if sets else maps * z


def combine_coils(maps: Tensor, z: Tensor, sets: bool, ndim: int) -> Tensor:
    """``sum_c conj(S_c) z_c`` for each set: coil images become an image, the adjoint."""
    # the conjugate of the coil images, which are fewer than the maps of two sets
    return combine_conjugated(maps, z.conj().resolve_conj(), sets, ndim)


def combine_conjugated(maps: Tensor, z: Tensor, sets: bool, ndim: int) -> Tensor:
    """`combine_coils` of ``conj(z)``: ``conj(sum_c S_c z_c)``."""
    if sets:
        z = z.unsqueeze(-ndim - 2)
    return _summed(maps, z, -ndim - 1).conj().resolve_conj()


def _summed(one: Tensor, other: Tensor, axis: int) -> Tensor:
    """The sum of ``one * other`` along an axis.

    On a CPU without the product of all in memory, which takes half as long again.
    """
    if one.device.type != "cpu":
        return (one * other).sum(dim=axis)
    first, *rest = zip(one.unbind(axis), other.unbind(axis), strict=True)
    total = first[0] * first[1]
    for a, b in rest:
        total = total.addcmul_(a, b)
    return total


def root_sum_of_squares(coils: Tensor, ndim: int = 2) -> Tensor:
    """``sqrt(sum_c |z_c|^2)`` of coil images ``(..., coil, *spatial)``, real."""
    magnitude: Tensor = torch.linalg.vector_norm(coils, dim=-ndim - 1)
    return magnitude


def weighted_power(maps: Tensor, weight: Tensor | None, sets: bool, ndim: int) -> Tensor:
    """``sum_c w_c |S_c|^2`` for each set, with ``w`` of shape ``(*batch, coil, *spatial)``."""
    power = maps.real.square() + maps.imag.square()
    if weight is None:
        return power.sum(dim=-ndim - 1)
    if sets:
        weight = weight.unsqueeze(-ndim - 2)
    return (weight * power).sum(dim=-ndim - 1)


def checked_maps(maps: Tensor, sets: bool, ndim: int, name: str) -> Tensor:
    """Give the maps, or raise for axes or values that no coil can have.

    They may be zero everywhere: in a slice of air, which is reconstructed by itself.
    """
    check_tensor(maps, name)
    axes = ("set", "coil") if sets else ("coil",)
    names = ", ".join(("...", *axes, *("z", "y", "x")[3 - len(spatial_axes(ndim)) :]))
    if maps.ndim < ndim + len(axes):
        raise ShapeError(
            f"{name} expects maps ({names}), got {tuple(maps.shape)}: "
            "add the missing axis with `maps[None]`"
        )
    if not maps.is_complex():
        raise DataError(
            f"{name} expects complex maps, got {str(maps.dtype).removeprefix('torch.')}: "
            "convert them with `maps.to(torch.complex64)`"
        )
    if not bool(torch.isfinite(torch.view_as_real(maps.resolve_conj())).all()):
        raise DataError(f"{name} got maps with NaN or inf: set them to 0 outside the object")
    return maps
