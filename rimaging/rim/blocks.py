"""A network on a large image, piece by piece: the same answer, in memory that stays in use.

The layers of a network write each feature of each pixel to memory and read it again. Of a large
image these are gigabytes that the system takes back and clears at every layer, which on a CPU costs
as much as the convolutions. Blocks that reach as far beyond their core as the network sees answer
alike, in memory that the next layer uses again (docs/design/cell.md).
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

STRIP_BYTES = 2**19
"""Features of so many rows stay in the cache of a core while a unit works on them."""

LAYERS = 6
"""So many layers are held at once, at most."""


def in_blocks(
    compute: Compute, inputs: Tensor, state: State, *, reach: int, stride: int, features: float
) -> tuple[Tensor, State]:
    """``compute(inputs, state)``, on a CPU and without gradients block by block.

    Of a batch as many images are taken together as are no larger than `WHOLE_BYTES`.

    Args:
        compute: from inputs ``(batch, planes, y, x)`` and memories to an output of that height and
            width and new memories like those it was given.
        inputs: ``y`` and ``x`` are multiples of ``stride``.
        state: memories ``(batch, features, y / n, x / n)``; every ``n`` divides ``stride``.
        reach: pixels beyond which it does not see.
        stride: of its coarsest grid.
        features: numbers of its widest layer, for each pixel.
    """
    batch, _, height, width = inputs.shape
    narrow = torch.is_autocast_enabled("cpu")
    weight = features * (torch.get_autocast_dtype("cpu").itemsize if narrow else inputs.itemsize)
    together = int(WHOLE_BYTES / (height * width * weight))
    if torch.is_grad_enabled() or inputs.device.type != "cpu" or batch <= together:
        return compute(inputs, state)
    if batch > 1:
        given = (plane.split(max(1, together)) for plane in (inputs, *state))
        sizes = {"reach": reach, "stride": stride}
        found = [
            in_blocks(compute, some, tuple(memories), features=features, **sizes)
            for some, *memories in zip(*given, strict=True)
        ]
        outputs, states = zip(*found, strict=True)
        return torch.cat(outputs), tuple(torch.cat(same) for same in zip(*states, strict=True))
    halo = stride * math.ceil(reach / stride)
    side = max(2 * halo, math.isqrt(int(BLOCK_BYTES / weight)) - 2 * halo)
    output: Tensor | None = None
    renewed = tuple(torch.empty_like(memory) for memory in state)
    for rows, above in spans(height, side, halo, stride):
        for columns, left in spans(width, side, halo, stride):
            seen = inputs[..., above, left]
            answer, new = compute(seen, tuple(part(m, inputs, above, left) for m in state))
            if output is None:
                output = answer.new_empty(*answer.shape[:-2], height, width)
            inner = within(rows, above), within(columns, left)
            output[..., rows, columns] = part(answer, seen, *inner)
            for whole, piece in zip(renewed, new, strict=True):
                part(whole, inputs, rows, columns).copy_(part(piece, seen, *inner))
    assert output is not None
    return output, renewed


def in_strips(
    update: Callable[[Tensor, Tensor], Tensor], features: Tensor, state: Tensor, pointwise: bool
) -> Tensor:
    """``update(features, state)``, on a CPU and without gradients by rows that stay in its cache.

    Args:
        update: from features and a memory, ``(batch, features, y, x)`` both, to the new memory.
        features, state: its arguments.
        pointwise: whether no pixel of the answer depends on others; else it is computed at once.
    """
    rows = max(1, STRIP_BYTES // features[:1, :, :1].nbytes)
    height = features.shape[-2]
    direct = torch.is_grad_enabled() or features.device.type != "cpu"
    if direct or not pointwise or rows >= height:
        return update(features, state)
    new = torch.empty_like(state)
    for strip in (slice(top, top + rows) for top in range(0, height, rows)):
        new[..., strip, :] = update(features[..., strip, :], state[..., strip, :])
    return new


def working_bytes(features: float, pixels: int) -> float:
    """What the layers of a float32 network hold of an image on a CPU, at most.

    ``features``: numbers of its widest layer, for each of the ``pixels``.
    """
    return LAYERS * min(WHOLE_BYTES, 4 * features * pixels)


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
