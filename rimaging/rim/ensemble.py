"""Self-ensemble: the mean over the eight flips and turns of the square, at eight times the cost."""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.errors import ShapeError
from rimaging.rim.rim import RIM
from rimaging.typing import LikelihoodLike

ELEMENTS = 8


def turn(image: Tensor, element: int) -> Tensor:
    """Transpose (from 4 on) the last two axes of ``image``, then turn it by quarters."""
    image = image.mT if element >= ELEMENTS // 2 else image
    return torch.rot90(image, element % 4, (-2, -1))


def turn_back(image: Tensor, element: int) -> Tensor:
    """The inverse of `turn`."""
    image = torch.rot90(image, -(element % 4), (-2, -1))
    return image.mT if element >= ELEMENTS // 2 else image


class Turned:
    """A likelihood of the turned image: ``p(y | T* x)``, with the same data and operator."""

    def __init__(self, likelihood: LikelihoodLike, element: int) -> None:
        self.likelihood = likelihood
        self.element = element

    @property
    def noise_scale(self) -> Tensor:
        """One number per item, which no turn changes."""
        return self.likelihood.noise_scale

    @property
    def item_axes(self) -> int:
        """That of the likelihood."""
        return self.likelihood.item_axes

    @property
    def linear(self) -> bool:
        """That of the likelihood."""
        return self.likelihood.linear

    def zeros(self) -> Tensor:
        """Zeros of the turned shape."""
        return turn(self.likelihood.zeros(), self.element)

    def score(self, x: Tensor) -> Tensor:
        """The score at ``T* x``, turned."""
        return turn(self.likelihood.score(turn_back(x, self.element)), self.element)

    def curvature(self, x: Tensor, v: Tensor) -> Tensor:
        """The curvature at ``T* x`` of ``T* v``, turned."""
        back = turn_back(x, self.element), turn_back(v, self.element)
        return turn(self.likelihood.curvature(*back), self.element)

    def steepness(self, x: Tensor, v: Tensor) -> Tensor:
        """That of the likelihood, which no turn changes."""
        back = turn_back(x, self.element), turn_back(v, self.element)
        return self.likelihood.steepness(*back)

    def information(self) -> Tensor:
        """``T information``, of the full shape."""
        return self._turned(self.likelihood.information())

    def bound(self, x: Tensor) -> Tensor:
        """``T bound``, of the full shape."""
        return self._turned(self.likelihood.bound(turn_back(x, self.element)))

    def _turned(self, values: Tensor) -> Tensor:
        values, _ = torch.broadcast_tensors(values, self.likelihood.zeros().real)
        return turn(values, self.element)


def ensemble(rim: RIM, likelihood: LikelihoodLike, steps: int | None = None) -> list[Tensor]:
    """The estimates after each step, each the mean of eight inferences turned back.

    The physics turns along with the image, so any operator will do.

    Raises ShapeError where the RIM was given images without two axes.
    Source: Timofte, Rothe & Van Gool, Seven ways to improve example-based SR, CVPR 2016.
    """
    if likelihood.zeros().ndim < 2:
        raise ShapeError("an ensemble turns images (..., y, x): there are not two axes to turn")
    total: list[Tensor] = []
    for element in range(ELEMENTS):
        estimates: list[Tensor] = rim(Turned(likelihood, element), steps=steps)
        back = [turn_back(x, element) for x in estimates]
        total = back if not total else [a + b for a, b in zip(total, back, strict=True)]
    return [x / ELEMENTS for x in total]
