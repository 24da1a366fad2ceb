"""Measurements that end at black and white: noise that went beyond was clipped."""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor

from rimaging.errors import DataError
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.operator import Operator

FAR = -20.0
"""Sigmas below which float32 cannot take ``h`` and ``-u`` from each other."""


class Clipped(Gaussian):
    """``y = min(max(A x + n, low), high)``, ``n ~ N(0, sigma^2)``: a censored Gaussian.

    A pixel between the ends counts as in `Gaussian`. One at an end says that it lies beyond,
    ``log p = log Phi((low - A x) / sigma)``; its score is that of the residual which is to be
    expected there,

        E[y - A x | y <= low] = -sigma phi(u) / Phi(u),   u = (low - A x) / sigma

    and likewise at the upper end. Without it, noise that was clipped makes dark regions too bright
    and bright ones too dark.

    Args:
        operator: the forward model ``A``.
        y: the measurement, ``(*batch, *range.shape)``, real.
        sigma: standard deviation of the noise before it was clipped, as of `Gaussian`.
        low, high: the ends, in the units of ``y``; what lies on or beyond them was clipped.
        weight: real, 0 where nothing was measured, else 1; broadcastable to ``y``.

    Raises DataError where ``low`` is not below ``high``, or for complex data.
    Source: Tobin, Econometrica 26 (1958).
    """

    def __init__(
        self,
        operator: Operator,
        y: Tensor,
        sigma: float | Tensor,
        low: float = 0.0,
        high: float = 1.0,
        weight: Tensor | None = None,
    ) -> None:
        if y.is_complex() or not low < high:
            raise DataError(
                f"clipped data are real and their ends ordered, got {y.dtype} and ({low:g}, "
                f"{high:g}): give black first, then white"
            )
        super().__init__(operator, y.clamp(low, high), sigma, weight)
        self.low = low
        self.high = high

    def observing(self, y: Tensor) -> Self:
        """As of any likelihood; what lies beyond the ends is clipped."""
        return super().observing(y.clamp(self.low, self.high))

    def imputed(self, x: Tensor) -> Tensor:
        """``E[y | A x]`` before it was clipped: at an end what lies beyond it, else ``y``."""
        seen, end, u = self._clipped(x)
        scale = self.precision.clamp_min(torch.finfo(seen.dtype).tiny).rsqrt()
        return torch.where(
            (end == 0) | (self.precision == 0), self.y, seen + end * _mills(u) * scale
        )

    def _clipped(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``A x``; which end each pixel lies at (-1, 0, 1); its distance beyond it in sigma."""
        seen = self.operator(x)
        end = (self.y >= self.high).to(seen.dtype) - (self.y <= self.low).to(seen.dtype)
        beyond = torch.where(end < 0, self.low - seen, seen - self.high)
        return seen, end, beyond * self.precision.sqrt()

    def log_prob(self, x: Tensor) -> Tensor:
        """``-1/2 W |y - A x|^2`` of pixels between the ends, ``log Phi(u)`` of those at one."""
        seen, end, u = self._clipped(x)
        inside = -0.5 * self.precision * (self.y - seen) ** 2
        outside = torch.special.log_ndtr(u) * (self.precision > 0)
        return torch.where(end == 0, inside, outside).sum(dim=self._axes)

    def score(self, x: Tensor) -> Tensor:
        """``A* W r``, ``r`` the residual, or at an end the one that is to be expected."""
        seen, end, u = self._clipped(x)
        expected = end * _mills(u) * self.precision.sqrt()
        weighted = torch.where(end == 0, self.precision * (self.y - seen), expected)
        return self.operator.vjp(x, weighted)

    def curvature(self, x: Tensor, v: Tensor) -> Tensor:
        """``A* W c A v`` with ``c = h (h + u)``, ``h = phi(u) / Phi(u)``, at an end, else 1."""
        _, end, u = self._clipped(x)
        known = torch.where(end == 0, 1.0, _certainty(u))
        return self.operator.vjp(x, self.precision * known * self.operator.jvp(x, v))

    def chi2(self, x: Tensor) -> Tensor:
        """Mean of ``W |y - A x|^2`` over the pixels between the ends, ``(*batch,)``."""
        seen, end, _ = self._clipped(x)
        between = ((end == 0) & (self.precision > 0)).to(seen.dtype)
        total = (between * self.precision * (self.y - seen) ** 2).sum(dim=self._axes)
        return total / between.sum(dim=self._axes).clamp_min(1)


def _mills(u: Tensor) -> Tensor:
    """``phi(u) / Phi(u)``, finite far out on both sides."""
    ratio: Tensor = math.sqrt(2 / math.pi) / torch.special.erfcx(u / -math.sqrt(2))
    return ratio


def _certainty(u: Tensor) -> Tensor:
    """``h (h + u)``, ``h = phi(u) / Phi(u)``, from 1 far below zero to 0 far above it.

    Far below, where ``h`` and ``-u`` cancel, by its series ``1 - 1 / u^2 + 6 / u^4 - ...``: an
    image of one gray sees a white pixel hundreds of sigma away.
    """
    mills = _mills(u)
    far = u.clamp_max(FAR) ** -2
    return torch.where(u < FAR, 1 - far + 6 * far**2, (mills * (mills + u)).clamp(0, 1))
