"""A sky made up from coordinates, for benchmarks larger than a disk, and a cheap task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rimaging.mosaic.sources import Description, Slices
from rimaging.mosaic.task import Process
from rimaging.mosaic.tiles import Unit

ROW_PIXELS = 4096
"""Of noise that are made together: few enough for a cache, enough for numpy."""


def starfield(settings: dict[str, Any]) -> Callable[[Slices], NDArray[np.float32]]:
    """Stars of Gaussian profile, one in each cell of a lattice, on noise of one: no file at all.

    settings: ``fwhm`` in pixels, ``cell`` in pixels, ``seed``. Every pixel is a function of its
    coordinates alone, so that any two blocks agree where they overlap.
    """
    fwhm, cell = float(settings.get("fwhm", 4.0)), int(settings.get("cell", 64))
    seed = int(settings.get("seed", 0))

    def block(slices: Slices) -> NDArray[np.float32]:
        shape = tuple(part.stop - part.start for part in slices)
        image = np.empty(shape, np.float32)
        x = np.arange(slices[2].start, slices[2].stop, dtype=np.uint64)
        together = max(1, ROW_PIXELS // len(x))
        for i, channel in enumerate(range(slices[0].start, slices[0].stop)):
            for first in range(slices[1].start, slices[1].stop, together):
                rows = range(first, min(first + together, slices[1].stop))
                start = first - slices[1].start
                image[i, start : start + len(rows)] = _normal(x, rows, channel + seed)
            _add_stars(image[i], slices, cell, fwhm, seed)
        return image

    return block


def describe_starfield(shape: tuple[int, int, int], **settings: float) -> Description:
    """The source of a `starfield` of any size."""
    return {
        "kind": "generated",
        "factory": "rimaging.mosaic.generated:starfield",
        "settings": dict(settings),
        "shape": list(shape),
        "full_shape": list(shape),
        "identity": {"generated": "starfield", **settings},
    }


def box_blur(settings: dict[str, Any]) -> Process:
    """A local function that costs next to nothing: the mean over a box of ``radius``."""
    radius = int(settings["radius"])
    side = 2 * radius + 1

    def process(block: NDArray[Any], unit: Unit) -> NDArray[Any]:
        _, height, width = block.shape
        around = ((0, 0), (radius, radius), (radius, radius))
        padded = np.pad(block.astype(np.float32), around, mode="symmetric")
        # shifted sums and not running ones, whose rounding would depend on where a tile begins
        rows = padded[:, :, :width].copy()
        for k in range(1, side):
            rows += padded[:, :, k : k + width]
        blurred = rows[:, :height].copy()
        for k in range(1, side):
            blurred += rows[:, k : k + height]
        blurred /= np.float32(side**2)
        return blurred

    return process


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit numbers (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _normal(x: NDArray[np.uint64], rows: range, stream: int) -> NDArray[np.float32]:
    """Nearly normal noise, the sum of four uniform numbers of 16 bits, of some rows."""
    # mixed first, so that no two rows are one another's neighbours in the stream
    keys = [(row * 0xD1B54A32D192ED03 + stream * 0x8CB92BA72F3D8DD7) % 2**64 for row in rows]
    bits = _mixed(x * np.uint64(0x9E3779B97F4A7C15) + _mixed(np.array(keys, np.uint64))[:, None])
    # columns added one by one: a sum along an axis of four is slow
    a, b, c, d = bits.view(np.uint16).reshape(-1, 4).T.astype(np.float32)
    parts: NDArray[np.float32] = (a + b) + (c + d)
    noise: NDArray[np.float32] = (parts / np.float32(65535.0) - np.float32(2.0)) * np.float32(
        3.0**0.5
    )
    return noise.reshape(bits.shape)


def _add_stars(
    plane: NDArray[np.float32], slices: Slices, cell: int, fwhm: float, seed: int
) -> None:
    radius = int(np.ceil(2.5 * fwhm))
    _, rows, columns = slices
    for cy in range((rows.start - radius) // cell, (rows.stop + radius) // cell + 1):
        for cx in range((columns.start - radius) // cell, (columns.stop + radius) // cell + 1):
            if cy < 0 or cx < 0:
                continue
            key = np.array([(cy * 1000003 + cx * 7919 + seed) % 2**64], np.uint64)
            a, b, c = (int(part) / 65536 for part in _mixed(key).view(np.uint16)[:3])
            y, x, peak = (cy + a) * cell, (cx + b) * cell, 10 ** (0.5 + 2.5 * c)
            top, left = max(rows.start, int(y) - radius), max(columns.start, int(x) - radius)
            bottom = min(rows.stop, int(y) + radius + 1)
            right = min(columns.stop, int(x) + radius + 1)
            if top >= bottom or left >= right:
                continue
            squared = (np.arange(top, bottom)[:, None] - y) ** 2 + (np.arange(left, right) - x) ** 2
            star = peak * np.exp(-4 * np.log(2) / fwhm**2 * squared)
            plane[
                top - rows.start : bottom - rows.start, left - columns.start : right - columns.start
            ] += star.astype(np.float32)
