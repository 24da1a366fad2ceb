"""What the door estimates from an image, from a sample of one that is too large: once, for all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rimaging.datasets.exposure import blank_areas
from rimaging.errors import DataError
from rimaging.mosaic.seams import Corner
from rimaging.mosaic.sources import Slices
from rimaging.mosaic.tiles import ALIGN
from rimaging.reports.arrays import to_numpy
from rimaging.tiles.planes import Channels, joined, without
from rimaging.tiles.processor import BATCH, SkyTiles

Read = Callable[[Slices], NDArray[Any]]
Parts = list[tuple[NDArray[Any], Slices]]
"""Equal blocks ``(channel, y, x)``, and where they lie."""

SAMPLES = 16
SAMPLE_PIXELS = 1 << 22
LARGEST, LEAST = 256, 32
"""Sides of a part, in pixels."""
FINEST = 12
"""Parts along each axis that are tried before a channel is taken for empty."""


@dataclass(frozen=True)
class Facts:
    """What all tiles of a sky share: see `rimaging.tiles.processor.SkyTiles`."""

    # scale: NaN of a channel that was empty in the sample; footprint: 1 or 0
    level: NDArray[np.float32]
    factor: NDArray[np.float32]
    scale: NDArray[np.float32]
    footprint: NDArray[np.float32]


def places(shape: tuple[int, int, int], count: int = 4) -> list[tuple[slice, slice]]:
    """Where equal parts of an image lie, up to ``count`` squared: rows and columns."""
    side = int(math.sqrt(SAMPLE_PIXELS / (SAMPLES * shape[0]))) // ALIGN * ALIGN
    side = max(LEAST, min(LARGEST, side))
    height, width = min(side, shape[1]), min(side, shape[2])
    return [
        (slice(y, y + height), slice(x, x + width))
        for y in _spread(shape[1], height, count)
        for x in _spread(shape[2], width, count)
    ]


def _spread(size: int, side: int, count: int) -> list[int]:
    """Starts of up to ``count`` stretches that do not overlap."""
    count = max(1, min(count, size // side))
    return sorted({int(start) for start in np.linspace(0, size - side, count)})


def sample(read: Read, shape: tuple[int, int, int], own: slice) -> Parts:
    """Parts of some channels that hold values; where they are rare it is looked closer.

    Parts of zeros alone count only where there is nothing else: around a footprint are no data.
    """
    for zeros in (False, True):
        for count in (4, FINEST):
            parts: Parts = []
            for rows, columns in places(shape, count):
                place = (own, rows, columns)
                block = read(place)
                good = np.isfinite(block)
                if good.mean() > 0.1 and (zeros or bool(block[good].any())):
                    parts.append((block, place))
                if len(parts) == SAMPLES:
                    break
            if parts:
                return parts
    return []


def channel_groups(shape: tuple[int, int, int]) -> list[slice]:
    """Channels whose samples are looked at together: as much as is computed at once."""
    rows, columns = places(shape)[0]
    pixels = SAMPLES * (rows.stop - rows.start) * (columns.stop - columns.start)
    together = max(1, BATCH // pixels)
    return [slice(first, min(first + together, shape[0])) for first in range(0, shape[0], together)]


def facts_of(tiles: SkyTiles, read: Read, shape: tuple[int, int, int]) -> Facts:
    """Level and noise of every channel from a sample of the sky, and what its zeros are.

    Group by group of channels: the memory that it takes does not grow with their number.
    """
    found = []
    for own in channel_groups(shape):
        parts = sample(read, shape, own)
        count = own.stop - own.start
        found.append(sampled_channels(tiles, parts) if parts else _unknown(count, tiles.device))
    if all(bool(channels.scale.isnan().all()) for channels, _ in found):
        raise DataError(
            "a sample of the image holds no values, only NaN or zeros: is it the right plane?"
        )

    def together(values: list[Tensor]) -> NDArray[np.float32]:
        return np.asarray(to_numpy(torch.cat([value.flatten() for value in values])), np.float32)

    return Facts(
        level=together([channels.level for channels, _ in found]),
        factor=together([channels.factor for channels, _ in found]),
        scale=together([channels.scale for channels, _ in found]),
        footprint=together([footprint for _, footprint in found]),
    )


def _unknown(count: int, device: torch.device) -> tuple[Channels, Tensor]:
    """Channels that are empty wherever one looks; a tile that is not raises."""
    one = torch.ones(count, 1, 1, device=device)
    return Channels(0 * one, one, torch.nan * one), one


def sampled_channels(tiles: SkyTiles, parts: Parts) -> tuple[Channels, Tensor]:
    """Level and noise of the channels of a sample, and in which of them zeros are no data."""
    own = parts[0][1][0]
    # parts one below the other: their few borders do not move a median
    below = joined(
        [tiles.seen(block, place) for block, place in parts], lambda maps: torch.cat(maps, dim=-2)
    )
    blank = blank_areas(below.data, below.good > 0)
    footprint = tiles.footprints(below, blank, own)
    below = without(below, blank & footprint[:, None, None])
    channels = tiles.channels(below, own)
    empty = ~below.good.flatten(1).any(dim=1)[:, None, None]
    found = replace(channels, scale=torch.where(empty, torch.nan, channels.scale))
    return found, footprint.to(torch.float32)


def brightest(read: Read, shape: tuple[int, int, int]) -> Corner:
    """Beside the brightest pixel of a sample: a square that ends just before it."""
    peaks = []
    for own in channel_groups(shape):
        for block, (channels, rows, columns) in sample(read, shape, own):
            filled = np.where(np.isfinite(block), block, -np.inf)
            channel, y, x = np.unravel_index(int(filled.argmax()), block.shape)
            place = (channels.start + int(channel), rows.start + int(y), columns.start + int(x))
            peaks.append((float(filled[channel, y, x]), place))
    _, (channel, top, left) = max(peaks)
    corner = [max(0, place - 40) // ALIGN * ALIGN for place in (top, left)]
    return channel, corner[0], corner[1]
