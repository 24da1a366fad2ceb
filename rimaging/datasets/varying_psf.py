"""A PSF that changes over the image: a sum of images, each with a weight at every position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from rimaging.errors import DataError, ShapeError
from rimaging.operators.target import relative_basis

__all__ = ["Grid", "Polynomial", "VaryingPsf"]


class Positions(Protocol):
    """How much of each image of a `VaryingPsf` is seen where."""

    def weights(self, y: Tensor, x: Tensor) -> Tensor:
        """``(k, rows, columns)`` at rows ``y`` and columns ``x`` (0 is the middle of the first)."""


@dataclass(frozen=True)
class Polynomial:
    """Monomials ``u^i v^j``, ``i + j <= degree``, of ``u = (x - zero) / scale``, likewise ``v``.

    In the order of PSFEx: ``1, u, u^2, ..., v, u v, ..., v^2, ...``. zero and scale are ``(y, x)``.
    """

    degree: int
    zero: tuple[float, float]
    scale: tuple[float, float]

    def weights(self, y: Tensor, x: Tensor) -> Tensor:
        """``((degree + 1) (degree + 2) / 2, rows, columns)``."""
        v = (y.double() - self.zero[0]) / self.scale[0]
        u = (x.double() - self.zero[1]) / self.scale[1]
        return torch.stack(
            [
                v[:, None] ** j * u[None, :] ** i
                for j in range(self.degree + 1)
                for i in range(self.degree + 1 - j)
            ]
        )


@dataclass(frozen=True)
class Grid:
    """Bilinear weights between nodes at rows ``y`` and columns ``x``; constant beyond the outer."""

    y: tuple[float, ...]
    x: tuple[float, ...]

    def weights(self, y: Tensor, x: Tensor) -> Tensor:
        """``(len(y) len(x), rows, columns)``, nodes row by row."""
        rows, columns = _hats(self.y, y), _hats(self.x, x)
        return (rows[:, None, :, None] * columns[None, :, None, :]).flatten(0, 1)


def _hats(nodes: Sequence[float], where: Tensor) -> Tensor:
    """The share of each node at each place, ``(nodes, places)``; they add up to 1."""
    node = torch.tensor(nodes, dtype=torch.float64)
    place = where.double().cpu().clamp(float(node[0]), float(node[-1]))
    if len(node) == 1:
        return torch.ones(1, len(place), dtype=torch.float64)
    left = torch.searchsorted(node, place, right=True).clamp(1, len(node) - 1) - 1
    share = (place - node[left]) / (node[left + 1] - node[left])
    hats = torch.zeros(len(node), len(place), dtype=torch.float64)
    hats.scatter_(0, left[None], (1 - share)[None])
    return hats.scatter_(0, left[None] + 1, share[None])


@dataclass(frozen=True, eq=False)
class VaryingPsf:
    """``P(r; y, x) = sum_k a_k(y, x) p_k(r)``, of sum 1 at every position.

    images: ``p (k, ky, kx)`` with odd sides. positions: the weights ``a``, in pixels of the whole
    image. origin: row and column of the first pixel of the part that is looked at.
    """

    images: Tensor
    positions: Positions
    name: str
    origin: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if self.images.ndim != 3 or any(n % 2 == 0 for n in self.images.shape[-2:]):
            raise ShapeError(
                f"a varying PSF has images {tuple(self.images.shape)}, expected (k, y, x) of odd "
                "sides: crop or pad them"
            )
        if not bool(torch.isfinite(self.images).all()):
            raise DataError(f"the PSF {self.name!r} has NaN or infinite pixels: repair it.")

    def weights(self, shape: Sequence[int], margin: tuple[int, int] = (0, 0)) -> Tensor:
        """``a (k, y, x)`` on an image of this shape with a margin around it, float32.

        Scaled so that the PSF has sum 1 at every position; raises DataError where it has none.
        """
        y, x = (
            torch.arange(-edge, n + edge) + start
            for n, edge, start in zip(shape, margin, self.origin, strict=True)
        )
        return self._normalised(self.positions.weights(y, x)).float()

    def at(self, y: float, x: float) -> Tensor:
        """The PSF ``(ky, kx)`` of one position."""
        place = (torch.tensor([y + self.origin[0]]), torch.tensor([x + self.origin[1]]))
        weights = self._normalised(self.positions.weights(*place))[:, 0, 0]
        return torch.einsum("k,kyx->yx", weights, self.images.double()).float()

    def samples(self, shape: Sequence[int], count: int = 4) -> Tensor:
        """PSFs ``(count^2, ky, kx)`` at places all over an image of this shape, edges included."""
        rows, columns = (torch.linspace(0, n - 1, count).tolist() for n in shape)
        return torch.stack([self.at(y, x) for y in rows for x in columns])

    def moved(self, origin: tuple[int, int]) -> VaryingPsf:
        """For a part of the image that begins at this row and column."""
        return replace(self, origin=origin)

    def relative(self, target_fwhm: float) -> VaryingPsf:
        """The kernels ``K`` with ``P = K * T`` for a Gaussian target, at every position."""
        return replace(self, images=relative_basis(self.images.double(), target_fwhm).float())

    def _normalised(self, weights: Tensor) -> Tensor:
        total = torch.einsum("kyx,k->yx", weights, self.images.double().sum(dim=(-2, -1)))
        if not bool((total > 0).all()):
            raise DataError(
                f"the PSF {self.name!r} has no positive sum in a part of the image: it was fitted "
                "to another field"
            )
        return weights / total
