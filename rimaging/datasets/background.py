"""The level of the empty sky, for images that come with their background."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["blocks", "middle", "sky_level"]

MAD_TO_SIGMA = 1.4826
"""Of a normal distribution."""

BLOCK = 32
"""Edge in pixels: so large that its median is known to a twentieth of the noise."""


def sky_level(data: Tensor, mask: Tensor | None = None) -> Tensor:
    """The level above which the light of each plane lies, ``(..., 1, 1)``.

    The median after clipping what is over 3 sigma from it (five rounds of ``m = median``,
    ``sigma = 1.4826 median|y - m|`` over the pixels that are left), or the lowest median of a block
    of `BLOCK` pixels where that is lower: among nebulae the median is no empty sky, and what lies
    below the level would be taken for noise. What the lowest of so many lies below the others by
    chance is put back, so that noise alone has the level 0. It scales with the data. A plane
    that is all source, or masked, gives the median of what there is, or 0.

    Args:
        data: real ``(..., y, x)``.
        mask: 0 for pixels to leave out, broadcastable to ``data``.
    """
    planes = data.reshape(-1, data.shape[-2] * data.shape[-1])
    kept = None if mask is None else mask.expand(data.shape).reshape(planes.shape)
    levels = []
    for index, plane in enumerate(planes):
        values = plane if kept is None else plane[kept[index] > 0]
        middle_level = _clipped_median(np.sort(values.detach().cpu().numpy()))
        good = None if kept is None else kept[index].reshape(data.shape[-2:])
        levels.append(min(middle_level, _darkest(plane.reshape(data.shape[-2:]), good)))
    found = torch.from_numpy(np.stack(levels))
    return found.to(data).reshape(*data.shape[:-2], 1, 1)


def _darkest(plane: Tensor, weight: Tensor | None) -> Any:
    """The level of the darkest block ``(BLOCK, BLOCK)`` that is mostly good; infinite without.

    Of levels ``l`` of which noise alone scatters the median by ``s`` and which scatter by ``S``,

        l_1 + min(1, s^2 / S^2) (median(l) - l_1)

    is to be expected where ``l_1`` was seen: their median where they scatter by chance alone, the
    lowest where they differ. ``s = sqrt(pi / 2) sigma / sqrt(pixels)``, ``S`` is that of the darker
    half. A block that is the same all over was never exposed. Source: James & Stein, 1961.
    """
    values = blocks(plane, BLOCK).flatten(1).numpy()
    median = np.median
    if weight is not None:
        good = blocks(weight, BLOCK).flatten(1).numpy() > 0
        values = np.where(good, values, np.nan)[good.mean(axis=-1) > 0.5]
        median = np.nanmedian  # many times slower
    if not values.size:
        return np.inf
    levels = median(values, axis=-1)
    exposed = np.nanmax(values, axis=-1) > np.nanmin(values, axis=-1)
    if not exposed.any():
        return np.inf
    levels, values = levels[exposed], values[exposed]
    lowest = levels.argmin()
    offsets = np.abs(values[lowest] - levels[lowest])
    offsets = offsets[~np.isnan(offsets)]
    chance = math.sqrt(math.pi / 2 / len(offsets)) * MAD_TO_SIGMA * float(np.median(offsets))
    usual, dark = (float(level) for level in np.quantile(levels, (0.5, 0.1587)))
    granted = 1 + 2 * math.sqrt(3 / len(levels))  # two standard errors of S^2
    share = min(1.0, granted * (chance / (usual - dark)) ** 2) if usual > dark else 1.0
    return levels[lowest] + levels.dtype.type(share * (usual - levels[lowest]))


def blocks(plane: Tensor, side: int) -> Tensor:
    """The whole blocks ``(block, side, side)`` of ``(y, x)``, on the CPU; none of a smaller one."""
    if min(plane.shape) < side:
        return torch.zeros(0, side, side, dtype=plane.dtype)
    return plane.detach().cpu().unfold(0, side, side).unfold(1, side, side).reshape(-1, side, side)


def _clipped_median(ordered: NDArray[Any]) -> Any:
    """Of sorted values: what is left after a round is a stretch of them."""
    for _ in range(5):
        if not len(ordered):
            break
        level = ordered[(len(ordered) - 1) // 2]
        distance = np.abs(ordered - level)
        lower = (len(distance) - 1) // 2
        reach = 3 * MAD_TO_SIGMA * np.partition(distance, lower)[lower]
        first = np.searchsorted(ordered, level - reach, "left")
        last = np.searchsorted(ordered, level + reach, "right")
        if last - first in (0, len(ordered)):
            break
        ordered = ordered[first:last]
    return ordered[(len(ordered) - 1) // 2] if len(ordered) else ordered.dtype.type(0)


def middle(values: Tensor) -> Tensor:
    """The median of ``(n,)``, the lower of two in the middle: torch's, on a CPU 8 times faster."""
    if values.device.type != "cpu":
        return values.median()
    lower = (values.numel() - 1) // 2
    return values.new_tensor(np.partition(values.numpy(), lower)[lower])
