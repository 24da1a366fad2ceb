"""Where an image was never exposed: areas of exact zeros around a footprint, as drizzling leaves.

Zeros are also what counters read in the dark, and what models and clipped images hold; so they are
believed to be no data only where the image itself says so, see `is_footprint`.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from rimaging.datasets.measurement import Measurement
from rimaging.errors import DataError

__all__ = ["REACH", "blank_areas", "doubt_mask", "is_footprint", "with_exposure"]

SIDE = 5
"""Edge of the square of zeros that an area must hold: noise that is no integer has none by chance.
Beyond the edge of an image lie zeros, so that a strip of 3 pixels along it is enough."""

GROWN = 8
"""Pixels that an area goes on among zeros beyond such squares: into the corners of a footprint."""

REACH = 2 * (SIDE // 2) + GROWN
"""How far in pixels it is looked."""

FEW = 0.25
"""Share of good pixels from which on a mask is not doubted."""

SAMPLE = 1 << 16
LEAST = 64
"""Exposed pixels, fewer say nothing."""

DIFFERENT = 16
"""Values of the exposed pixels: pictures of few levels have no noise that could tell."""

SHARE = 0.5
"""Of exposed pixels that must be no integers, and have no zero beside them."""


def with_exposure(measurement: Measurement, *, counts: bool = False) -> Measurement:
    """Mask the areas of a sky ``(..., y, x)`` that were never exposed, and note it.

    Of several bands one that is zero all over was not exposed either, unless it ``counts`` photons.
    Raises DataError where nothing is left.
    """
    data, mask = measurement.data, measurement.mask
    planes = data.reshape(-1, *data.shape[-2:])
    if not bool((planes == 0).any()):
        return measurement
    good = torch.ones_like(planes) if mask is None else mask.expand(data.shape).reshape_as(planes)
    several = len(planes) > 1 and not counts
    blank = torch.stack(
        [_unexposed(plane, weight > 0, several) for plane, weight in zip(planes, good, strict=True)]
    )
    count = int(blank.sum())
    if not count:
        return measurement
    seen = (good * ~blank).to(torch.float32).reshape(data.shape)
    if not bool(seen.any()):
        raise DataError("every channel is zero all over, or masked: nothing was measured.")
    note = (
        f"{count} pixels ({count / blank.numel():.1%}) in areas of exact zeros taken as never "
        "exposed and masked"
    )
    assumed = [*measurement.provenance.get("assumed", []), note]
    provenance = {**measurement.provenance, "assumed": assumed}
    return replace(measurement, mask=seen, provenance=provenance)


def doubt_mask(measurement: Measurement) -> None:
    """Warn of a mask that was given and leaves hardly anything: that of bad pixels, most likely."""
    if measurement.mask is None:
        return
    share = float((measurement.mask > 0).float().mean())
    if share < FEW:
        warnings.warn(
            f"the mask leaves {share:.1%} of the pixels as measured: it is 1 where a pixel is good "
            "and 0 where it is bad, so invert one that marks bad pixels",
            stacklevel=3,
        )


def _unexposed(plane: Tensor, good: Tensor, several: bool) -> Tensor:
    blank = blank_areas(plane, good)
    found = bool(blank.any()) and is_footprint(plane, good, blank, several=several)
    return blank if found else torch.zeros_like(blank)


def blank_areas(data: Tensor, good: Tensor) -> Tensor:
    """The areas of zeros among the good pixels of ``(..., y, x)``, boolean.

    All pixels of squares of `SIDE` zeros, and the zeros within `GROWN` steps of these.
    """
    zero = good & (data == 0)
    core = ~_near(~zero, SIDE)
    blank = zero & _near(core, SIDE)
    for _ in range(GROWN):
        if not bool(blank.any()):
            break
        blank = zero & _near(blank, 3)
    return blank


def is_footprint(plane: Tensor, good: Tensor, blank: Tensor, *, several: bool = False) -> bool:
    """Whether the ``blank`` areas of a plane ``(y, x)`` surround a noisy, exposed image.

    One of ``several`` planes may be blank all over.
    Its values are then many and mostly no integers; it is solid, not single events on a dark
    ground; and where it ends it does not fade out: some values there are below zero, or nearly all
    are well above it. (Where none of it is to be seen, as in a sample, that is granted.)
    """
    zero = good & (plane == 0)
    exposed = good & ~zero
    if several and not bool(exposed.any()):
        return True
    values = plane[exposed]
    if len(values) < LEAST:
        return False
    some = values[:: -(-len(values) // SAMPLE)]
    if len(some.unique()) <= DIFFERENT or float((some != some.round()).float().mean()) < SHARE:
        return False
    if float((exposed & ~_near(zero, 3)).sum() / exposed.sum()) < SHARE:
        return False
    ends = plane[exposed & _near(blank, SIDE)]
    if not len(ends) or float((ends < 0).float().mean()) > 0.01:
        return True
    low = ends.sort().values[len(ends) // 10]
    return float(low) > 0.25 * float(some.median())


def _near(where: Tensor, side: int) -> Tensor:
    """Where any pixel of the square of an odd ``side`` around a pixel is."""
    flat = where.reshape(-1, 1, *where.shape[-2:]).to(torch.float32)
    return (max_pool2d(flat, side, stride=1, padding=side // 2) > 0).reshape(where.shape)
