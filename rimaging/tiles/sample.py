"""What the door estimates from an image, from a sample of one that is too large: once, for all."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rimaging.datasets.background import sky_level
from rimaging.datasets.noise import estimate_image_noise
from rimaging.errors import DataError
from rimaging.mosaic.sources import Description, Slices, open_source
from rimaging.mosaic.tiles import ALIGN
from rimaging.operators.likelihood import Gaussian
from rimaging.reports.arrays import to_numpy
from rimaging.rim.lengths import StepLengths
from rimaging.tiles.processor import LocalLikelihood, SkyTiles, own_of

Read = Callable[[Slices], NDArray[Any]]
Parts = list[tuple[NDArray[Any], Slices]]
"""Equal blocks ``(channel, y, x)``, and where they lie."""

SAMPLES = 16
SAMPLE_PIXELS = 1 << 22


def sample(read: Read, shape: tuple[int, int, int]) -> Parts:
    """Equal parts of the image, spread over it, all channels of each."""
    side = int(math.sqrt(SAMPLE_PIXELS / (SAMPLES * shape[0]))) // ALIGN * ALIGN
    side = max(32, min(256, side))
    height, width = min(side, shape[1]), min(side, shape[2])
    rows = _spread(shape[1], height)
    columns = _spread(shape[2], width)
    everything = slice(0, shape[0])
    parts = []
    for y in rows:
        for x in columns:
            place = (everything, slice(y, y + height), slice(x, x + width))
            block = read(place)
            if np.isfinite(block).mean() > 0.1:
                parts.append((block, place))
    if not parts:
        raise DataError("a sample of the image holds no values, only NaN: is it the right plane?")
    return parts


def _spread(size: int, side: int) -> list[int]:
    """Starts of up to four stretches that do not overlap."""
    count = max(1, min(4, size // side))
    return sorted({int(start) for start in np.linspace(0, size - side, count)})


def level_and_noise(
    parts: Parts, mask: dict[str, Any] | None, background: float | None, *, estimate: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The level of the empty sky and the noise of each channel, ones unless ``estimate``."""
    # parts one below the other: their few borders do not move a median
    data = torch.from_numpy(np.concatenate([block for block, _ in parts], axis=1))
    good = torch.isfinite(data)
    if mask is not None:
        values = [open_source(mask["source"]).read(place) for _, place in parts]
        quality = torch.from_numpy(np.concatenate(values, axis=1))
        good &= (quality > 0.5) if mask["good"] == "one" else (quality == 0)
    data = torch.where(good, data, 0.0)
    weight = good.to(data.dtype)
    if background is None:
        level = to_numpy(sky_level(data, weight)).reshape(-1)
    else:
        level = np.full(len(data), background, np.float32)
    if not estimate:
        return level, np.ones(len(data), np.float32)
    sigma = [estimate_image_noise(plane, m) for plane, m in zip(data, weight, strict=True)]
    return level, np.asarray(sigma, np.float32)


def typical_noise(noise: Description, parts: Parts) -> NDArray[np.float32]:
    """Root of the harmonic mean variance of each channel, from the sample of a map."""
    values = np.concatenate([open_source(noise).read(place) for _, place in parts], axis=1)
    precision = np.where(np.isfinite(values) & (values > 0), values, np.inf).astype(float) ** -2.0
    count = np.maximum((precision > 0).sum(axis=(1, 2)), 1)
    mean = precision.sum(axis=(1, 2)) / count
    if not bool((mean > 0).all()):
        raise DataError(
            "the noise map holds no value above zero in a sample of it: check its units"
        )
    return np.asarray(mean**-0.5, np.float32)


def recorded_lengths(tiles: SkyTiles, parts: Parts) -> Tensor:
    """The step lengths of an image from equal parts of it, ``(iteration, 2, channel)``.

    ``parts``: each ``(channel, y, x)`` and where it lies.
    """
    data = [tiles.data(block, place) for block, place in parts]
    y = torch.stack([values for values, _ in data])
    weights = [torch.ones_like(values) if w is None else w for values, w in data]
    whole = all(w is None for _, w in data)
    own = parts[0][1][0]
    recording = StepLengths()
    with torch.inference_mode():
        likelihood = Gaussian(
            tiles.operator(own, y.shape[-2:]),
            y,
            tiles.sigma[own_of(own, len(tiles.sigma)), None, None],
            weight=None if whole else torch.stack(weights),
        )
        local = LocalLikelihood(likelihood, tiles.sigma[own_of(own, len(tiles.sigma)), None, None])
        tiles.rim(local, steps=tiles.steps, lengths=recording)
    return recording.values
