"""Random projections: fewer numbers than pixels, each a random sum over the whole image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Literal, get_args

import torch
from torch import Tensor

from rimaging.errors import OptionError
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.space import Space

Ensemble = Literal["gaussian", "binary", "fourier"]


class RandomProjection(LinearOperator):
    """``y = P x`` with a random ``(count, pixels)`` matrix whose columns have unit expected norm.

    Args:
        shape: of the image, without batch.
        count: how many projections, 1 or more.
        ensemble: ``"gaussian"``: ``N(0, 1/count)``; ``"binary"``: ``+-1/sqrt(count)``;
            ``"fourier"``: ``count`` different rows of the real orthonormal Fourier basis (cosines
            and sines) times ``sqrt(pixels/count)``.
        seed: the matrix is a function of it; a list gives each item of the batch its own matrix.
        dtype: float32 or float64.

    Raises:
        OptionError: an ensemble that does not exist, or a count out of range.

    Source: Putzky and Welling, Recurrent Inference Machines (2017), section 4.4.
    """

    def __init__(
        self,
        shape: Sequence[int],
        count: int,
        ensemble: Ensemble = "gaussian",
        seed: int | Sequence[int] = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if ensemble not in get_args(Ensemble):
            raise OptionError(
                f"ensemble {ensemble!r} does not exist: choose {', '.join(get_args(Ensemble))}"
            )
        domain = Space(tuple(shape), dtype)
        if (
            not isinstance(count, Integral)
            or count < 1
            or (ensemble == "fourier" and count > domain.size)
        ):
            raise OptionError(
                f"{count} {ensemble} projections of {domain.size} pixels do not exist: "
                f"choose a count from 1 to {domain.size}"
            )
        super().__init__(domain, Space((count,), dtype))
        draw = {"gaussian": _gaussian, "binary": _binary, "fourier": _fourier}[ensemble]
        count, one = int(count), isinstance(seed, Integral)
        seeds = [int(s) for s in ([seed] if isinstance(seed, Integral) else seed)]
        if not seeds:
            raise OptionError("no seed came: give one, or one for each item of the batch")
        drawn = [draw(domain.shape, count, torch.Generator().manual_seed(s)) for s in seeds]
        matrix = drawn[0] if one else torch.stack(drawn)
        self.matrix: Tensor
        self.register_buffer("matrix", matrix.to(dtype))

    def _forward(self, x: Tensor) -> Tensor:
        return _applied(self.matrix.to(x.dtype), x.flatten(-len(self.domain.shape)))

    def _adjoint(self, y: Tensor) -> Tensor:
        pixels = _applied(self.matrix.mT.to(y.dtype), y)
        return pixels.reshape(*pixels.shape[:-1], *self.domain.shape)

    def normal_diagonal(self, weight: Tensor | None = None) -> Tensor:
        """``sum_i w_i P_ij^2``."""
        squares = self.matrix.square()
        if weight is not None:
            squares = squares * (weight.unsqueeze(-1) if weight.ndim else weight)
        diagonal = squares.sum(dim=-2)
        return diagonal.reshape(*diagonal.shape[:-1], *self.domain.shape)


def _applied(matrix: Tensor, vectors: Tensor) -> Tensor:
    """``M v`` of each item; one matrix for all is one product, not as many as items."""
    if matrix.ndim == 2:
        return vectors @ matrix.mT
    return (matrix @ vectors.unsqueeze(-1)).squeeze(-1)


def _gaussian(shape: tuple[int, ...], count: int, generator: torch.Generator) -> Tensor:
    draws = torch.randn(count, math.prod(shape), generator=generator, dtype=torch.float64)
    return draws / math.sqrt(count)


def _binary(shape: tuple[int, ...], count: int, generator: torch.Generator) -> Tensor:
    draws = torch.randint(0, 2, (count, math.prod(shape)), generator=generator)
    return (2.0 * draws.double() - 1) / math.sqrt(count)


def _fourier(shape: tuple[int, ...], count: int, generator: torch.Generator) -> Tensor:
    """Cosine of each frequency that comes before its negative, sine of each that comes after."""
    size = math.prod(shape)
    chosen = torch.randperm(size, generator=generator)[:count]
    sizes = torch.tensor(shape, dtype=torch.float64)
    grid = torch.cartesian_prod(*(torch.arange(n, dtype=torch.float64) for n in shape))
    pixels = grid.reshape(size, len(shape))
    frequency = pixels[chosen]
    negative = (-frequency) % sizes
    strides = torch.tensor([math.prod(shape[i + 1 :]) for i in range(len(shape))])
    opposite = (negative.long() * strides).sum(dim=1)
    phase = 2 * math.pi * (frequency / sizes) @ pixels.mT
    waves = torch.where((chosen <= opposite)[:, None], phase.cos(), phase.sin())
    waves[chosen != opposite] *= math.sqrt(2)
    return waves / math.sqrt(count)
