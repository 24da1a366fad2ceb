"""The blur of a block: one kernel, one for each channel, or one for each place in the sky."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.varying_psf import Grid as Nodes
from rimaging.datasets.varying_psf import Polynomial, VaryingPsf
from rimaging.mosaic.sources import Slices
from rimaging.mosaic.task import pack, unpack
from rimaging.mosaic.tiles import Grid
from rimaging.operators.convolution import Convolution
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.target import relative_kernel
from rimaging.operators.varying_convolution import VaryingConvolution
from rimaging.reports.arrays import to_numpy

SAME = 4 * torch.finfo(torch.float32).eps
"""Difference of two kernels, summed over their pixels, that single precision does not see."""
AT_ONCE = 64
"""Channels whose kernels are computed together, in double precision."""
KEPT = 4


class Blur(Protocol):
    """What blurs a sky, asked for block by block."""

    @property
    def radius(self) -> tuple[int, int]:
        """How far a kernel reaches, y and x."""

    def operator(self, place: Slices) -> LinearOperator:
        """The operator of a block; what lies beyond the block is mirrored."""

    def terms(self, grid: Grid) -> int:
        """The most convolutions that the block of a unit takes in place of one."""

    def kernels(self, shape: tuple[int, int]) -> Tensor:
        """Kernels from all over an image of this shape, ``(n, y, x)``."""


def pack_blur(psf: Tensor | VaryingPsf, target: float) -> dict[str, Any]:
    """The kernels to a target of FWHM ``target`` pixels as plain values.

    psf: ``(1 or channel, y, x)`` with odd sides, or a model that varies over the image.
    """
    if isinstance(psf, VaryingPsf):
        relative = psf.relative(target)
        where = relative.positions
        positions: dict[str, Any]
        if isinstance(where, Polynomial):
            positions = {"degree": where.degree, "zero": where.zero, "scale": where.scale}
        else:
            assert isinstance(where, Nodes)
            positions = {"y": where.y, "x": where.x}
        return {
            "images": pack(to_numpy(relative.images)),
            "positions": {name: _listed(value) for name, value in positions.items()},
            "origin": list(relative.origin),
            "name": relative.name,
        }
    kernels = [relative_kernel(some, target) for some in psf.split(AT_ONCE)]
    return {"images": pack(to_numpy(torch.cat(kernels)))}


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def unpack_blur(packed: dict[str, Any], device: torch.device) -> Blur:
    """The blur of `pack_blur`, for a device."""
    images = torch.from_numpy(np.asarray(unpack(packed["images"]), np.float32))
    if "positions" not in packed:
        return FixedBlur(images.to(device))
    where = packed["positions"]
    positions = (
        Polynomial(where["degree"], _pair(where["zero"]), _pair(where["scale"]))
        if "degree" in where
        else Nodes(tuple(where["y"]), tuple(where["x"]))
    )
    top, left = packed["origin"]
    return VaryingBlur(VaryingPsf(images, positions, packed["name"], (top, left)), device)


def _pair(values: Sequence[float]) -> tuple[float, float]:
    return values[0], values[1]


class FixedBlur:
    """One kernel for all channels or one for each, ``(1 or channel, y, x)``."""

    def __init__(self, kernels: Tensor) -> None:
        self.images = kernels
        self._kept: dict[tuple[int, ...], Convolution] = {}

    @property
    def radius(self) -> tuple[int, int]:
        """How far a kernel reaches, y and x."""
        return self.images.shape[-2] // 2, self.images.shape[-1] // 2

    def operator(self, place: Slices) -> LinearOperator:
        """The operator of a block; the last few are kept, since blocks are alike."""
        own, shape = own_of(place[0], len(self.images)), _shape(place)
        key = (own.start, own.stop, *shape)
        if key not in self._kept:
            if len(self._kept) >= KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = Convolution(self.images[own], shape, "reflect")
        return self._kept[key]

    def terms(self, grid: Grid) -> int:
        """One."""
        return 1

    def kernels(self, shape: tuple[int, int]) -> Tensor:
        """All of them."""
        return self.images.cpu()


class VaryingBlur:
    """Kernels that change over the image, the same for all channels.

    A block takes the terms of the model that it sees, with their weights at its own place in the
    image: tiles with the exact halo equal the whole. Where single precision sees no change over
    the block, it takes one kernel, that of its middle.
    """

    def __init__(self, kernel: VaryingPsf, device: torch.device) -> None:
        self.kernel = kernel
        self.device = device
        self._last: tuple[tuple[int, ...], LinearOperator] | None = None

    @property
    def radius(self) -> tuple[int, int]:
        """How far a kernel reaches, y and x."""
        return self.kernel.images.shape[-2] // 2, self.kernel.images.shape[-1] // 2

    def operator(self, place: Slices) -> LinearOperator:
        """The operator of a block; the last is kept for its other channels."""
        _, rows, columns = place
        key = (rows.start, rows.stop, columns.start, columns.stop)
        if self._last is None or self._last[0] != key:
            self._last = (key, self._built(rows, columns))
        return self._last[1]

    def _built(self, rows: slice, columns: slice) -> LinearOperator:
        top, left = self.kernel.origin
        local = self.kernel.moved((top + rows.start, left + columns.start))
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        weights = local.weights(shape)
        seen = (weights != 0).flatten(1).any(dim=1)
        images = local.images[seen]
        if _is_constant(local, images, shape):
            middle = local.at((shape[0] - 1) / 2, (shape[1] - 1) / 2)
            return Convolution(middle.to(self.device), shape, "reflect")
        return VaryingConvolution(
            images.to(self.device), weights[seen].to(self.device), shape, "reflect"
        )

    def terms(self, grid: Grid) -> int:
        """All terms of a polynomial; of nodes those around a block."""
        where = self.kernel.positions
        if not isinstance(where, Nodes):
            return len(self.kernel.images)
        count = 1
        for axis, nodes in ((1, where.y), (2, where.x)):
            start = self.kernel.origin[axis - 1]
            blocks = [grid[index].block[axis] for index in _along(grid, axis)]
            count *= max(
                _nodes_seen(nodes, start + part.start, start + part.stop - 1) for part in blocks
            )
        return count

    def kernels(self, shape: tuple[int, int]) -> Tensor:
        """Sixteen, the edges of the image included."""
        return self.kernel.samples(shape)


def _is_constant(local: VaryingPsf, images: Tensor, shape: tuple[int, int]) -> bool:
    """Whether single precision sees no change of the kernel over a block."""
    if isinstance(local.positions, Nodes):  # normalised, all of them are one image
        sums = images.double().sum(dim=(-2, -1), keepdim=True)
        if not bool((sums > 0).all()):
            return len(images) == 1
        kernels = images / sums
    elif len(images) == 1:
        return True
    else:
        kernels = local.samples(shape, 17)
    change = (kernels - kernels[:1]).abs().sum(dim=(-2, -1)).max()
    return bool(change <= SAME * kernels[0].abs().sum())


def _nodes_seen(nodes: Sequence[float], first: float, last: float) -> int:
    """Nodes that have a weight between the pixels ``first`` and ``last``."""
    if len(nodes) == 1:
        return 1
    low = max(0, int(np.searchsorted(nodes, first, side="right")) - 1)
    high = min(len(nodes) - 1, int(np.searchsorted(nodes, last, side="left")))
    return max(high, low) - low + 1


def _along(grid: Grid, axis: int) -> range:
    """One unit of each row (1) or column (2) of a grid."""
    _, rows, columns = grid.counts
    return range(0, rows * columns, columns) if axis == 1 else range(columns)


def own_of(own: slice, count: int) -> slice:
    """The channels ``own`` of something of ``count``, which all may share."""
    return own if count > 1 else slice(0, 1)


def _shape(place: Slices) -> tuple[int, int]:
    return place[1].stop - place[1].start, place[2].stop - place[2].start
