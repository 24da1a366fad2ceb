"""Parts of a measurement with many items: slices of a volume, bands of a cube."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from rimaging.datasets.kspace_noise import spread
from rimaging.datasets.measurement import Measurement
from rimaging.errors import ShapeError
from rimaging.memory import available

__all__ = ["at_once", "chosen", "moved", "pieces", "representatives"]

CPU_PIECE = 2**28
"""Bytes that one piece of a large batch may take on a CPU, where larger ones are no faster."""


def at_once(
    whole: Measurement, bytes_per_pixel: float, device: torch.device, together: int = 1
) -> int:
    """How many items of a measurement a device takes at once, a multiple of ``together``.

    Args:
        whole: all of them. bytes_per_pixel: of the method, for each pixel of an image. together:
            items in a row that belong together, such as channels that weights couple.

    Raises ShapeError where not even those fit that must.
    """
    spatial = 2 if whole.matrix is None else len(whole.matrix)
    pixels = math.prod(whole.image_shape[-spatial:])
    coils = whole.data.shape[-3] if whole.kind == "kspace" else 1
    # a trajectory works on twice the grid along every axis, and a little finer still
    grids = 5 if whole.trajectory is None else 2 + 3 * 2**spatial
    physics = grids * coils * whole.data.element_size()
    need = pixels * (together * physics + bytes_per_pixel)
    on_gpu = device.type == "cuda"
    free = float(torch.cuda.mem_get_info(device)[0]) if on_gpu else available()
    if need > free:
        size = " x ".join(map(str, whole.image_shape[-spatial:]))
        raise ShapeError(
            f"an image of {size} needs about {need / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are "
            f"free on {device}: cut it into overlapping parts, or use a device with more memory"
        )
    budget = min(free / 2, CPU_PIECE) if device.type == "cpu" else free / 2
    return together * max(1, int(budget // need))


def pieces(whole: Measurement, at_once: int, *, sets: bool = False) -> Iterator[Measurement]:
    """Cut the leading axes of a measurement, flattened into one, into parts of ``at_once`` items.

    The measurement itself where that is all of it. ``sets`` says that its maps have an axis of
    sets. Noise, mask, maps, trajectory and PSF go with their items, or stay whole where all share
    them.
    """
    count = math.prod(whole.data.shape[: -3 if whole.kind == "kspace" else -2])
    if count <= at_once:
        yield whole
        return

    for first in range(0, count, at_once):
        yield _items(whole, slice(first, first + at_once), sets)


def chosen(whole: Measurement, there: Tensor) -> Measurement:
    """The items of a measurement that are ``there`` (boolean, one for each), in one axis."""
    return _items(whole, there, sets=False)


def _items(whole: Measurement, which: slice | Tensor, sets: bool) -> Measurement:
    axes = 3 if whole.kind == "kspace" else 2
    spatial = 2 if whole.matrix is None else len(whole.matrix)
    batch = tuple(whole.data.shape[:-axes])

    def part(array: Any, core: int) -> Any:
        if not isinstance(array, Tensor) or array.ndim <= core:
            return array
        own = array.shape[array.ndim - core :]
        if array.shape[:-core].numel() == 1:
            return array.reshape(own)
        return array.expand(*batch, *own).reshape(math.prod(batch), *own)[which]

    return replace(
        whole,
        data=part(whole.data, axes),
        noise=part(whole.noise, axes),
        mask=part(whole.mask, 2),
        maps=part(whole.maps, 1 + spatial + sets),
        trajectory=part(whole.trajectory, 3),
        density=part(whole.density, 2),
        psf=part(whole.psf, 2),
        reference=None,
    )


def representatives(scan: Measurement, *, sets: bool = False) -> Iterator[Measurement]:
    """The slices of k-space ``(..., coil, y, x)`` that stand for a volume: see `spread`."""
    chosen = set(spread(math.prod(scan.data.shape[:-3])))
    for place, item in enumerate(pieces(scan, 1, sets=sets)):
        if place in chosen:
            yield item


def moved(measurement: Measurement, device: torch.device) -> Measurement:
    """The measurement with its tensors on a device."""

    def move(value: Any) -> Any:
        return value.to(device) if isinstance(value, Tensor) else value

    return replace(
        measurement,
        data=measurement.data.to(device),
        noise=move(measurement.noise),
        mask=move(measurement.mask),
        maps=move(measurement.maps),
        psf=move(measurement.psf),
        trajectory=move(measurement.trajectory),
        density=move(measurement.density),
    )
