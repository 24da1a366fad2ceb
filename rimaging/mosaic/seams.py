"""What a halo costs in accuracy, measured on the data themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from rimaging.mosaic.task import Process, planes_of
from rimaging.mosaic.tiles import ALIGN, Grid, Unit

Corner = tuple[int, int, int]
"""Channel, y and x of the first pixel of a small square."""

SIDE = 32


def corners(grid: Grid, count: int) -> list[Corner]:
    """Where tiles meet: up to ``count`` corners of the grid, spread over image and channels."""
    rows, columns = (
        list(range(unit, size - SIDE, unit)) or [max(0, (size - SIDE) // 2 // ALIGN * ALIGN)]
        for unit, size in zip(grid.unit[1:], grid.shape[1:], strict=True)
    )
    total = len(rows) * len(columns)
    chosen = sorted({int(i) for i in np.linspace(0, total - 1, min(count, total))})
    channels = np.linspace(0, grid.shape[0] - 1, max(1, len(chosen))).astype(int)
    return [
        (int(channel), rows[i // len(columns)], columns[i % len(columns)])
        for i, channel in zip(chosen, channels, strict=True)
    ]


def square(corner: Corner, shape: tuple[int, int, int], halo: int) -> Unit:
    """A square of `SIDE` pixels at a corner as a unit of its own."""
    channel, y, x = corner
    core = [
        slice(start, min(start + SIDE, size)) for start, size in zip((y, x), shape[1:], strict=True)
    ]
    block = [
        slice(max(0, part.start - halo), min(size, part.stop + halo))
        for part, size in zip(core, shape[1:], strict=True)
    ]
    one = slice(channel, channel + 1)
    return Unit(-1, (one, core[0], core[1]), (one, block[0], block[1]))


def seam_error(
    process: Process,
    read: Callable[[Unit], NDArray[np.float32]],
    shape: tuple[int, int, int],
    places: Iterable[Corner],
    halos: tuple[int, int],
    noise: Callable[[Unit], float],
    planes: Sequence[str] = ("image",),
) -> float:
    """Greatest ``|narrow - wide| / noise`` at corners of tiles, where a halo is felt most.

    Args:
        process, read: as for any unit. places: `corners`, and others that may be worse.
        halos: the one in question, and one so wide that it makes no difference.
        noise: standard deviation around a unit.
        planes: of the answer, which are compared.
    """
    worst = 0.0
    for place in places:
        narrow, wide = (square(place, shape, halo) for halo in halos)
        if narrow.block == wide.block:
            continue
        found = []
        for unit in (narrow, wide):
            answer = process(read(unit), unit)
            answer = answer if isinstance(answer, dict) else {planes[0]: answer}
            found.append(planes_of({p: answer[p] for p in planes}, unit, tuple(planes)))
        for plane in planes:
            difference = np.abs(found[0][plane] - found[1][plane])
            if np.isfinite(difference).any():
                worst = max(worst, float(np.nanmax(difference)) / noise(wide))
    return worst
