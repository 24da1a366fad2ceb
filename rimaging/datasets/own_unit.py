"""A unit near the noise, in which single precision holds what is made of a measurement.

Coil maps have theirs too: networks and penalties know those whose ``sum_c |S_c|^2`` is near one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.operators.coils import root_sum_of_squares

__all__ = ["OwnUnit", "in_own_unit", "power_of_two"]

ORDINARY = 2.0**16
"""Noise between one over it and it stays as it is: its square, summed over all pixels, is held."""

FARTHEST = 126
"""Exponent of the largest power of two whose inverse is a normal number, too."""


class OwnUnit(NamedTuple):
    """The unit of the image of each item of a measurement, in the units that it is asked for in.

    sizes: powers of two ``(*batch, 1, ..., 1)`` against the data, float32. axes: of one item of the
    data.
    """

    sizes: Tensor
    axes: int

    def of(self, image: Tensor, axes: int) -> Tensor:
        """The sizes against an ``image`` whose items have so many axes."""
        lead = self.sizes.shape[: self.sizes.ndim - self.axes]
        return self.sizes.reshape(*lead, *(1 for _ in range(axes))).to(image.device)


def in_own_unit(
    measurement: Measurement, *, sets: bool = False
) -> tuple[Measurement, OwnUnit | None]:
    """The same measurement with noise and coil maps near one, and the unit of its image then.

    ``1/sigma^2`` of a sky in erg/s/cm2/A (sigma 1e-18), and its sum over an image, is more than
    single precision holds. A power of two changes no digit, so that ``x(c y, c sigma) = c x(y,
    sigma)`` bit for bit. Maps of another size than one (NLINV, JSENSE, a scanner's own) are halved
    or doubled until it is nearest: ``S x = (S / c) (c x)``. Where the noise is ordinary
    (`ORDINARY`), and maps are within a half octave of one, as ESPIRiT's, the measurement is given
    back, and None. Its noise is known (`Measurement.completed`); ``sets`` says that the maps have
    an axis of sets.
    """
    axes = 3 if measurement.kind == "kspace" else 2
    noise = measurement.noise
    assert noise is not None
    sizes = power_of_two(_typical(torch.as_tensor(noise), measurement, axes))
    own = measurement
    if not bool((sizes == 1).all()):
        factor = 1 / sizes
        own = replace(
            own,
            data=own.data * factor,
            noise=torch.as_tensor(noise).to(factor) * factor,
            reference=None,
        )
    if own.maps is not None:
        spatial = 2 if own.matrix is None else len(own.matrix)
        each = _map_sizes(own.maps, spatial, sets)
        if not bool((each == 1).all()):
            lead = each.shape[: each.ndim - spatial - 1]
            against = each.reshape(*lead, *(1 for _ in own.maps.shape[len(lead) :]))
            own = replace(own, maps=own.maps / against)
            sizes = sizes / each.reshape(*lead, 1, 1, 1)
    return own, None if own is measurement else OwnUnit(sizes, axes)


def power_of_two(scale: Tensor) -> Tensor:
    """The power of two at ``scale``, float32; 1 where it is ordinary, or no number above 0."""
    known = torch.isfinite(scale) & (scale > 0)
    ordinary = (scale >= 1 / ORDINARY) & (scale <= ORDINARY)
    exponent = torch.where(known & ~ordinary, scale, 1.0).double().log2().round()
    return torch.exp2(exponent.clamp(-FARTHEST, FARTHEST)).float()


def _map_sizes(maps: Tensor, spatial: int, sets: bool) -> Tensor:
    """The power of two nearest to the typical ``sqrt(sum_c |S_c|^2)``, ``(*batch, 1, ..., 1)``.

    The root of its mean square where coils see anything, of the first set; 1 where they see nothing
    at all, which is refused elsewhere.
    """
    first = maps.select(-spatial - 2, 0) if sets else maps
    power = root_sum_of_squares(first, spatial).double().square().unsqueeze(-spatial - 1)
    dims = tuple(range(-spatial, 0))
    mean = power.sum(dim=dims, keepdim=True) / (power > 0).sum(dim=dims, keepdim=True)
    known = torch.isfinite(mean) & (mean > 0)
    exponent = torch.where(known, mean, 1.0).log2().div(2).round()
    return torch.exp2(exponent.clamp(-FARTHEST, FARTHEST)).float()


def _typical(noise: Tensor, measurement: Measurement, axes: int) -> Tensor:
    """Root of the harmonic mean variance of what was measured, ``(*batch, 1, ..., 1)``."""
    variance = noise.double().square()
    good = torch.isfinite(variance) & (variance > 0)
    if noise.ndim and measurement.mask is not None:
        mask = measurement.mask.unsqueeze(-3) if axes == 3 else measurement.mask
        good = good & (mask > 0)
    while good.ndim < axes:
        good = good[None]
    dims = tuple(range(-axes, 0))
    total = torch.where(good, variance.reciprocal(), 0.0).sum(dim=dims, keepdim=True)
    return (good.sum(dim=dims, keepdim=True) / total).sqrt()  # NaN where nothing was measured
