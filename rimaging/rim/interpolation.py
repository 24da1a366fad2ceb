"""A smooth start: where nothing was measured, the first estimate interpolates."""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.typing import LikelihoodLike


class Interpolating:
    """A likelihood with a penalty ``roughness / (2 s^2) |D x|^2``, as conjugate gradients see it.

    Only the curvature knows of the penalty: at zero, where the initial estimate is solved from,
    its score is none.
    """

    def __init__(self, likelihood: LikelihoodLike, roughness: float) -> None:
        self.likelihood = likelihood
        self.roughness = roughness

    @property
    def noise_scale(self) -> Tensor:
        """That of the likelihood."""
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
        """An image of zeros."""
        return self.likelihood.zeros()

    def score(self, x: Tensor) -> Tensor:
        """The gradient at ``x``, the penalty included."""
        pull = self.roughness / self.noise_scale**2 * minus_laplacian(x)
        return self.likelihood.score(x) - pull

    def curvature(self, x: Tensor, v: Tensor) -> Tensor:
        """``(A* W A + roughness / s^2 D* D) v``."""
        penalty = self.roughness / self.noise_scale**2 * minus_laplacian(v)
        return self.likelihood.curvature(x, v) + penalty

    def steepness(self, x: Tensor, v: Tensor) -> Tensor:
        """That of the likelihood, and of the penalty."""
        dims = tuple(range(-self.item_axes, 0))
        penalty = (v.conj() * minus_laplacian(v)).real.sum(dim=dims, keepdim=True)
        return self.likelihood.steepness(x, v) + self.roughness / self.noise_scale**2 * penalty

    def information(self) -> Tensor:
        """That of the likelihood."""
        return self.likelihood.information()

    def unexplained(self, x: Tensor) -> Tensor:
        """That of the likelihood."""
        return self.likelihood.unexplained(x)

    def chi2(self, x: Tensor) -> Tensor:
        """That of the likelihood."""
        return self.likelihood.chi2(x)

    def bound(self, x: Tensor) -> Tensor:
        """That of the likelihood and of the penalty, whose rows sum up to 8."""
        return self.likelihood.bound(x) + 8 * self.roughness / self.noise_scale**2


def minus_laplacian(x: Tensor) -> Tensor:
    """``D* D x``, ``D`` the forward differences along y and x, none across the edges."""
    total = torch.zeros_like(x)
    for axis in (-2, -1):
        step = x.diff(dim=axis)
        size = step.shape[axis]
        total.narrow(axis, 0, size).sub_(step)
        total.narrow(axis, 1, size).add_(step)
    return total
