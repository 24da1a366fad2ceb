"""A network on a large image, block by block: the same answer, in memory that stays in use.

The layers of a network write each feature of each pixel to memory and read it again. Of a large
image these are gigabytes that the system takes back and clears at every layer, which on a CPU costs
as much as the convolutions. Blocks that reach as far beyond their core as the network sees answer
alike, in memory that the next layer uses again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

State = tuple[Tensor, ...]
Compute = Callable[[Tensor, State], tuple[Tensor, State]]

BLOCK_BYTES = 6 * 2**22
"""Of one layer's features in a block: glibc asks the system for each piece above 32 MiB."""

WHOLE_BYTES = 2 * BLOCK_BYTES
"""Up to so many bytes of a layer the halos of blocks cost more than they give."""

WORKING = 12 * BLOCK_BYTES
"""What a network holds at most for its layers, beside its inputs, outputs and memories."""


def in_blocks(
    compute: Compute, inputs: Tensor, state: State, *, reach: int, stride: int, features: float
) -> tuple[Tensor, State]:
    """``compute(inputs, state)``, on a CPU and without gradients block by block.

    Small images of a batch are taken together, a large one in blocks.

    Args:
        compute: from inputs ``(batch, planes, y, x)`` and memories to an output of that height and
            width and new memories like those it was given.
        inputs: ``y`` and ``x`` are multiples of ``stride``, and of those of every memory.
        reach: pixels beyond which it does not see.
        stride: of its coarsest grid.
        features: numbers of its widest layer, for each pixel.
    """
    batch, _, height, width = inputs.shape
    narrow = torch.is_autocast_enabled("cpu")
    weight = features * (torch.get_autocast_dtype("cpu").itemsize if narrow else inputs.itemsize)
    most = int(WHOLE_BYTES / (height * width * weight))
    if torch.is_grad_enabled() or inputs.device.type != "cpu" or batch <= most:
        return compute(inputs, state)
    halo = stride * math.ceil(reach / stride)
    side = max(height, width) if most else math.isqrt(int(BLOCK_BYTES / weight)) - 2 * halo
    output: Tensor | None = None
    renewed = tuple(torch.empty_like(memory) for memory in state)
    for first in range(0, batch, max(1, most)):
        items = slice(first, first + max(1, most))
        for rows, above in spans(height, max(side, 2 * halo), halo, stride):
            for columns, left in spans(width, max(side, 2 * halo), halo, stride):
                seen = inputs[items, :, above, left]
                known = tuple(part(memory[items], inputs, above, left) for memory in state)
                found, new = compute(seen, known)
                if output is None:
                    output = found.new_empty(batch, found.shape[1], height, width)
                inner = within(rows, above), within(columns, left)
                output[items, :, rows, columns] = found[..., inner[0], inner[1]]
                for whole, piece in zip(renewed, new, strict=True):
                    part(whole[items], inputs, rows, columns).copy_(part(piece, seen, *inner))
    assert output is not None
    return output, renewed


def spans(size: int, side: int, halo: int, stride: int) -> Iterator[tuple[slice, slice]]:
    """The cores of an axis, equal but for rounding to ``stride``, each with what lies around it."""
    count = math.ceil(size / side)
    step = stride * math.ceil(size / count / stride)
    for start in range(0, size, step):
        stop = min(start + step, size)
        yield slice(start, stop), slice(max(0, start - halo), min(size, stop + halo))


def within(core: slice, block: slice) -> slice:
    """Where a core lies in its block."""
    return slice(core.start - block.start, core.stop - block.start)


def part(memory: Tensor, image: Tensor, rows: slice, columns: slice) -> Tensor:
    """What a memory, perhaps on a coarser grid than ``image``, has of these pixels."""
    scale = image.shape[-1] // memory.shape[-1]
    y, x = (slice(span.start // scale, span.stop // scale) for span in (rows, columns))
    return memory[..., y, x]
