"""A likelihood of a tile that knows the noise of the whole image."""

from __future__ import annotations

from torch import Tensor

from rimaging.operators.likelihood import Likelihood


class LocalLikelihood:
    """A likelihood whose noise scale is the whole image's, not that of the tile."""

    def __init__(self, inner: Likelihood, scale: Tensor) -> None:
        self.inner = inner
        self._scale = scale

    @property
    def noise_scale(self) -> Tensor:
        """One typical standard deviation for each channel, ``(channel, 1, 1)``."""
        return self._scale

    @property
    def item_axes(self) -> int:
        """Of one channel: y and x."""
        return 2

    @property
    def linear(self) -> bool:
        """That of the inner likelihood."""
        return self.inner.linear

    def zeros(self) -> Tensor:
        """An image of zeros."""
        return self.inner.zeros()

    def score(self, x: Tensor) -> Tensor:
        """As of the likelihood inside."""
        return self.inner.score(x)

    def unexplained(self, x: Tensor) -> Tensor:
        """As of the likelihood inside."""
        return self.inner.unexplained(x)

    def curvature(self, x: Tensor, v: Tensor) -> Tensor:
        """As of the likelihood inside."""
        return self.inner.curvature(x, v)

    def steepness(self, x: Tensor, v: Tensor) -> Tensor:
        """That of the inner likelihood."""
        return self.inner.steepness(x, v)

    def information(self) -> Tensor:
        """As of the likelihood inside."""
        return self.inner.information()

    def bound(self, x: Tensor) -> Tensor:
        """As of the likelihood inside."""
        return self.inner.bound(x)

    def chi2(self, x: Tensor) -> Tensor:
        """As of the likelihood inside."""
        return self.inner.chi2(x)
