"""Counts of photons over a known background."""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.errors import DataError
from rimaging.operators.likelihood import Likelihood, check_broadcast, extremes
from rimaging.operators.operator import Operator


class Poisson(Likelihood):
    """Counts ``y ~ Poisson(A x + background)``: ``score(x) = A* (y / (A x + background) - 1)``.

    Args:
        operator: a non-negative real operator.
        counts: ``(*batch, *range.shape)``, not negative.
        background: mean counts of sky and dark current, above zero, broadcastable to ``counts``.
        weight: 0 where nothing was measured, else 1.

    Rates below a tenth of the background are clamped there, so that the score stays finite when an
    estimate is negative.
    """

    def __init__(
        self,
        operator: Operator,
        counts: Tensor,
        background: float | Tensor,
        weight: Tensor | None = None,
    ) -> None:
        super().__init__(operator, counts)
        background = torch.as_tensor(background, dtype=counts.dtype, device=counts.device)
        check_broadcast(background, counts, "background")
        if not bool((background > 0).all()) or not bool((counts >= 0).all()):
            raise DataError(
                f"Poisson needs counts >= 0 and background > 0, got counts {extremes(counts)} and "
                f"background {extremes(background)}: add the sky level back, or use Gaussian"
            )
        self.background: Tensor
        self.weight: Tensor
        self.register_buffer("background", background)
        weight = torch.ones((), dtype=counts.dtype) if weight is None else weight.to(counts.dtype)
        check_broadcast(weight, counts, "weight")
        self.register_buffer("weight", weight.to(counts.device))

    @property
    def measured(self) -> Tensor:
        """Where the weight is above zero."""
        return self.weight > 0

    def expected(self, x: Tensor) -> Tensor:
        """The mean counts, background included: ``A x + background``, clamped as above."""
        rate = self.operator(x) + self.background
        return torch.maximum(rate, 0.1 * self.background)

    def log_prob(self, x: Tensor) -> Tensor:
        """``sum w (y log rate - rate)``, ``(*batch,)``."""
        rate = self.expected(x)
        return (self.weight * (self.y * rate.log() - rate)).sum(dim=self._axes)

    def score(self, x: Tensor) -> Tensor:
        """``A* w (y / rate - 1)``, zero through clamped rates as autograd has it."""
        raw = self.operator(x) + self.background
        active = (raw > 0.1 * self.background).to(raw.dtype)
        rate = torch.maximum(raw, 0.1 * self.background)
        return self.operator.vjp(x, self.weight * active * (self.y / rate - 1))

    def _precision(self) -> Tensor:
        """One over the variance, from the data themselves and never below the background's."""
        return self.weight / torch.maximum(self.y, self.background)

    def curvature(self, x: Tensor, v: Tensor) -> Tensor:
        """``A* w (1 / rate(x)) A v``: the Fisher information at ``x``."""
        return self.operator.vjp(x, self.weight / self.expected(x) * self.operator.jvp(x, v))

    def information(self) -> Tensor:
        """``diag(A* W A)`` with ``W = 1 / max(y, background)``."""
        return self.operator.normal_diagonal(self._precision())

    def bound(self, x: Tensor) -> Tensor:
        """As of any likelihood."""
        return self.operator.normal_bound(self.weight / self.expected(x))

    def chi2(self, x: Tensor) -> Tensor:
        """Mean of ``(y - rate)^2 / rate`` over measured pixels (Pearson), ``(*batch,)``."""
        rate = self.expected(x)
        count = (torch.ones_like(self.y) * self.weight).sum(dim=self._axes).clamp_min(1)
        return (self.weight * (self.y - rate) ** 2 / rate).sum(dim=self._axes) / count

    @property
    def noise_scale(self) -> Tensor:
        """Root of the mean background variance, per item."""
        background = self.background
        while background.ndim < len(self._axes):
            background = background.unsqueeze(0)
        typical = background.mean(dim=self._axes).sqrt()
        return typical.reshape(*typical.shape, *(1 for _ in self.operator.domain.shape))
