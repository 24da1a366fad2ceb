"""Types that the rooms share."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class LikelihoodLike(Protocol):
    """What a RIM needs to know of a measurement: nothing of files, operators or instruments."""

    @property
    def noise_scale(self) -> Tensor:
        """One typical standard deviation per item, broadcastable to ``x``."""

    @property
    def item_axes(self) -> int:
        """How many trailing axes of an image belong to one item."""

    @property
    def linear(self) -> bool:
        """Whether what is expected of an image is linear in it."""

    def zeros(self) -> Tensor:
        """An image of zeros, of the shape, kind and device that the measurement asks for."""

    def score(self, x: Tensor) -> Tensor:
        """The gradient of the log-likelihood at ``x``."""

    def unexplained(self, x: Tensor) -> Tensor:
        """``y - A x``, of the shape of ``y``; 0 where nothing was measured."""

    def curvature(self, x: Tensor, v: Tensor) -> Tensor:
        """``A* W A v`` at ``x``."""

    def steepness(self, x: Tensor, v: Tensor) -> Tensor:
        """``v* A* W A v`` at ``x``, one number per item, broadcastable to ``x``."""

    def information(self) -> Tensor:
        """``diag(A* W A)``, broadcastable to ``x``."""

    def bound(self, x: Tensor) -> Tensor:
        """A diagonal that majorises ``A* W A`` at ``x`` (`Operator.normal_bound`), for ``x``."""

    def chi2(self, x: Tensor) -> Tensor:
        """Mean of ``w |y - A x|^2`` over the real components that were measured, ``(*batch,)``."""
