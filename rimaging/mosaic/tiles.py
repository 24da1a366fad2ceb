"""How an image is cut: units, each the core of one output shard, and blocks with their halo.

A block is its core and a halo of neighbours, cut off where the image ends: there, and only there,
the operator's own boundary acts, as it would on the whole image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from rimaging.errors import OptionError, ShapeError

ALIGN = 8
"""Tiles and halos are multiples of it, so that a network of strides 2 and 4 sees one grid."""


@dataclass(frozen=True)
class Unit:
    """One piece of work.

    core: what it answers for, ``(channel, y, x)`` slices of the image. block: the core and its
    halo, what it reads. index: its place in the grid, x fastest.
    """

    index: int
    core: tuple[slice, slice, slice]
    block: tuple[slice, slice, slice]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the core."""
        return tuple(part.stop - part.start for part in self.core)

    @property
    def block_shape(self) -> tuple[int, ...]:
        """Shape of the block."""
        return tuple(part.stop - part.start for part in self.block)

    @property
    def inside(self) -> tuple[slice, slice, slice]:
        """Where the core lies in the block."""
        channel, y, x = (
            slice(core.start - block.start, core.stop - block.start)
            for core, block in zip(self.core, self.block, strict=True)
        )
        return channel, y, x

    def __str__(self) -> str:
        channel, y, x = (f"{part.start}:{part.stop}" for part in self.core)
        return f"unit {self.index} (channels {channel}, y {y}, x {x})"


@dataclass(frozen=True)
class Grid:
    """An image ``(channel, y, x)`` cut into units of ``unit`` with a halo in y and x.

    Raises ShapeError for an empty image, OptionError for sizes that are no multiple of `ALIGN`
    (a unit as large as the image may have any).
    """

    shape: tuple[int, int, int]
    unit: tuple[int, int, int]
    halo: int

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise ShapeError(f"the image has shape {self.shape}, expected (channel, y, x) above 0")
        if min(self.unit) < 1 or any(
            size % ALIGN and size < whole
            for size, whole in zip(self.unit[1:], self.shape[1:], strict=True)
        ):
            raise OptionError(
                f"tiles of {self.unit[1]} x {self.unit[2]} pixels: give a multiple of {ALIGN}"
            )
        if self.halo < 0 or self.halo % ALIGN:
            raise OptionError(f"a halo of {self.halo} pixels: give a multiple of {ALIGN}")

    @property
    def counts(self) -> tuple[int, int, int]:
        """Units along each axis."""
        c, y, x = (-(-n // m) for n, m in zip(self.shape, self.unit, strict=True))
        return c, y, x

    def __len__(self) -> int:
        return math.prod(self.counts)

    def __getitem__(self, index: int) -> Unit:
        if not 0 <= index < len(self):
            raise OptionError(f"there is no unit {index}: the grid has {len(self)}")
        _, rows, columns = self.counts
        place = (index // (rows * columns), index // columns % rows, index % columns)
        core = tuple(
            slice(i * m, min((i + 1) * m, n))
            for i, m, n in zip(place, self.unit, self.shape, strict=True)
        )
        block = (core[0], *(self._grown(core[axis], self.shape[axis]) for axis in (1, 2)))
        return Unit(index, (core[0], core[1], core[2]), (block[0], block[1], block[2]))

    def __iter__(self) -> Iterator[Unit]:
        return (self[index] for index in range(len(self)))

    def _grown(self, core: slice, size: int) -> slice:
        return slice(max(0, core.start - self.halo), min(size, core.stop + self.halo))

    @property
    def pixels(self) -> int:
        """Of the image, all channels together."""
        return math.prod(self.shape)

    @property
    def largest_block(self) -> tuple[int, int, int]:
        """Shape of the block of a unit in the middle."""
        y, x = (
            min(size, unit + 2 * self.halo)
            for size, unit in zip(self.shape[1:], self.unit[1:], strict=True)
        )
        return min(self.unit[0], self.shape[0]), y, x

    @property
    def amplification(self) -> float:
        """Pixels read over pixels of the image: the price of the halo."""
        _, rows, columns = self.counts
        read = [0, 0]
        for axis, count in ((1, rows), (2, columns)):
            for i in range(count):
                start = i * self.unit[axis]
                core = slice(start, min(start + self.unit[axis], self.shape[axis]))
                part = self._grown(core, self.shape[axis])
                read[axis - 1] += part.stop - part.start
        return read[0] * read[1] / (self.shape[1] * self.shape[2])


def aligned(pixels: float) -> int:
    """The least multiple of `ALIGN` from ``pixels`` on."""
    return math.ceil(pixels / ALIGN) * ALIGN


def choose_unit(
    shape: tuple[int, int, int], tile: int, channels: int | None = None
) -> tuple[int, int, int]:
    """A unit of ``tile`` squared pixels; many small channels are taken together.

    ``channels`` per unit by default so that a unit has about ``tile ** 2`` pixels, whatever the
    size of the image: a thousand small channels then cost what one large one does.

    Raises OptionError for tiles without pixels or channels.
    """
    for count, what in ((tile, "pixels on a side"), (channels, "channels")):
        if count is not None and count < 1:
            raise OptionError(f"tiles of {count} {what} hold nothing: give at least one")
    y, x = min(tile, aligned(shape[1])), min(tile, aligned(shape[2]))
    together = max(1, tile * tile // (y * x)) if channels is None else channels
    return min(together, shape[0]), y, x
