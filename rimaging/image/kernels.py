"""The kernels of a blur: one for all planes of an image, or one for each."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.errors import ShapeError
from rimaging.operators.convolution import Boundary, Convolution


def blurs(
    kernel: Tensor, shape: tuple[int, ...], boundary: Boundary
) -> Callable[[Measurement], Convolution]:
    """The blur of images ``shape``, and of the parts of them that `run` takes one after another.

    `run` builds each part once and in order, which is how the kernels of a part are known.
    """
    planes, taken = math.prod(shape[:-2]), 0

    def build(y: Measurement) -> Convolution:
        nonlocal taken
        own = kernel.to(y.data)
        if kernel.ndim > 2 and tuple(y.data.shape) != shape:
            each = own.expand(*shape[:-2], *own.shape[-2:]).reshape(planes, *own.shape[-2:])
            own = each[taken : taken + len(y.data)]
            taken += len(y.data)
            assert taken <= planes
        return Convolution(own, y.data.shape[-2:], boundary)

    return build


def check_kernels(kernel: Tensor, shape: tuple[int, ...]) -> None:
    """Raise ShapeError for more kernels ``(..., y, x)`` than images ``shape`` has planes.

    They would give more images than came.
    """
    images = tuple(shape[:-2])
    try:
        # (not torch.broadcast_shapes, which imports sympy: a second of CPU)
        fits = np.broadcast_shapes(tuple(kernel.shape[:-2]), images) == images
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"the kernel has shape {tuple(kernel.shape)}, the image as planes "
            f"{shape}: give one kernel (y, x), or one for each "
            "plane, (3, y, x) in colour"
        )
