"""Downsampling: bicubic as MATLAB's ``imresize`` has it, and the mean over blocks of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Literal, get_args

import torch
from torch import Tensor

from rimaging.errors import OptionError, ShapeError
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.space import Space

Edges = Literal["replicate", "symmetric"]


class Resampling(LinearOperator):
    """``A x = R x C^T``: separable, one matrix for the rows and one for the columns.

    Args:
        shape: of the image that is resampled, ``(y, x)`` or ``(channel, y, x)``.
        rows: real ``(y_out, y)``.
        columns: real ``(x_out, x)``.
        scale: fine pixels per coarse one.
        radius: how many fine pixels lie between a coarse one and the farthest it sees.
    """

    def __init__(
        self, shape: Sequence[int], rows: Tensor, columns: Tensor, scale: int, radius: int
    ) -> None:
        shape = tuple(shape)
        coarse = (*shape[:-2], rows.shape[0], columns.shape[0])
        super().__init__(Space(shape, rows.dtype), Space(coarse, rows.dtype))
        self.scale = scale
        self.radius = radius
        self.rows: Tensor
        self.columns: Tensor
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)

    def _forward(self, x: Tensor) -> Tensor:
        return self.rows.to(x.dtype) @ x @ self.columns.mT.to(x.dtype)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.rows.mT.to(y.dtype) @ y @ self.columns.to(y.dtype)

    @property
    def locality(self) -> int:
        """The radius in pixels of the fine image."""
        return self.radius

    @property
    def stride(self) -> int:
        """Fine pixels per coarse one."""
        return self.scale

    def normal_diagonal(self, weight: Tensor | None = None) -> Tensor:
        """``R^2^T w C^2`` with the matrices squared element by element."""
        if weight is None:
            weight = torch.ones((), dtype=self.rows.dtype, device=self.rows.device)
        squares = self.rows.square().to(weight.dtype), self.columns.square().to(weight.dtype)
        return squares[0].mT @ self.range.expand(weight) @ squares[1]


class Bicubic(Resampling):
    """Downsample by ``scale`` as MATLAB's ``imresize(x, 1 / scale, 'bicubic')`` does.

    Keys' cubic kernel (a = -1/2), widened by ``scale`` against aliasing, weights normalised to one
    for each coarse pixel; ``ceil(n / scale)`` pixels. For 8-bit images MATLAB also rounds and clips
    between the two axes (rows first), which is not linear and not done here: with that added, the
    low-resolution images of Set5 and Set14 as published come out bit for bit.

    Args:
        shape: of the fine image, ``(y, x)`` or ``(channel, y, x)``.
        scale: a whole number, 1 or more.
        edges: outside the image, ``"replicate"`` repeats the edge pixel (the release of MATLAB that
            made the published test sets), ``"symmetric"`` mirrors (MATLAB of today).
        dtype: of the domain, float32 or float64.

    Raises:
        ShapeError: fewer than two axes.
        OptionError: a scale below 1 or not whole, or other edges.

    Source: Keys, IEEE Trans. ASSP 29 (1981).
    """

    def __init__(
        self,
        shape: Sequence[int],
        scale: int,
        edges: Edges = "replicate",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if edges not in get_args(Edges):
            raise OptionError(f"edges {edges!r} do not exist: choose {', '.join(get_args(Edges))}")
        height, width = _checked(shape, scale)
        scale = int(scale)
        rows, columns = _bicubic(height, scale, edges), _bicubic(width, scale, edges)
        radius = 2 * scale - scale % 2 if scale > 1 else 0  # the kernel ends before 2 coarse pixels
        super().__init__(shape, rows.to(dtype), columns.to(dtype), scale, radius)


class BlockMean(Resampling):
    """Mean over blocks of ``scale x scale`` pixels: what a detector of larger pixels sees.

    Args:
        shape: of the fine image, ``(y, x)`` or ``(channel, y, x)``. A last block that is cut by the
            edge is the mean of what it has.
        scale: a whole number, 1 or more.
        dtype: of the domain, float32 or float64.

    Raises:
        ShapeError: fewer than two axes. OptionError: a scale below 1 or not whole.
    """

    def __init__(
        self, shape: Sequence[int], scale: int, dtype: torch.dtype = torch.float32
    ) -> None:
        height, width = _checked(shape, scale)
        scale = int(scale)
        rows, columns = _blocks(height, scale), _blocks(width, scale)
        super().__init__(shape, rows.to(dtype), columns.to(dtype), scale, scale // 2)


def enlarge(image: Tensor, scale: int) -> Tensor:
    """Bicubic interpolation to ``(..., scale y, scale x)``, as MATLAB's ``imresize`` does it.

    Keys' kernel over four pixels, edge pixels repeated; not the adjoint of `Bicubic`.
    Raises OptionError for a scale below 1 or not whole.
    """
    height, width = _checked(image.shape, scale)
    rows, columns = (_interpolation(n, scale).to(image) for n in (height, width))
    return rows @ image @ columns.mT


def _interpolation(size: int, scale: int) -> Tensor:
    """The matrix ``(scale size, size)`` of one axis, in double precision."""
    centre = (torch.arange(scale * size, dtype=torch.float64) + 0.5) / scale - 0.5
    taps = torch.floor(centre)[:, None] + torch.arange(-1, 3)
    weight = _cubic(centre[:, None] - taps)
    index = taps.long().clamp(0, size - 1)
    return torch.zeros(scale * size, size, dtype=torch.float64).scatter_add(1, index, weight)


def _checked(shape: Sequence[int], scale: int) -> tuple[int, int]:
    shape = Space(tuple(shape), torch.float32).shape
    if len(shape) < 2:
        raise ShapeError(
            f"resampling expects a shape (..., y, x), got {tuple(shape)}: give both spatial axes"
        )
    if not isinstance(scale, Integral) or scale < 1:
        raise OptionError(f"scale {scale!r} is not a whole number from 1 on: choose 2, 3 or 4")
    return shape[-2], shape[-1]


def _bicubic(size: int, scale: int, edges: Edges) -> Tensor:
    """The matrix ``(ceil(size / scale), size)`` of one axis, in double precision."""
    coarse = -(-size // scale)
    # Positions of coarse pixel centres on the fine grid, whose pixel centres are whole numbers.
    centre = (torch.arange(coarse, dtype=torch.float64) + 0.5) * scale - 0.5
    taps = torch.floor(centre - 2 * scale)[:, None] + torch.arange(4 * scale + 2)
    weight = _cubic((centre[:, None] - taps) / scale)
    weight = weight / weight.sum(dim=1, keepdim=True)
    index = taps.long()
    if edges == "symmetric":
        index = index % (2 * size)
        index = torch.minimum(index, 2 * size - 1 - index)
    index = index.clamp(0, size - 1)
    return torch.zeros(coarse, size, dtype=torch.float64).scatter_add(1, index, weight)


def _cubic(t: Tensor) -> Tensor:
    """Keys' kernel: 1 at zero, 0 at other whole numbers, 0 from 2 on."""
    t = t.abs()
    near = (1.5 * t - 2.5) * t * t + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    return torch.where(t <= 1, near, torch.where(t < 2, far, torch.zeros_like(t)))


def _blocks(size: int, scale: int) -> Tensor:
    block = torch.arange(size) // scale
    matrix = torch.nn.functional.one_hot(block).T.double()
    return matrix / matrix.sum(dim=1, keepdim=True)
