"""Likelihoods: what the measurement says of an image, and the gradient that a RIM is fed."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor, nn

from rimaging.errors import DataError, ShapeError
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.operator import Operator


class Likelihood(nn.Module, ABC):
    """``p(y | x)`` for the measurement ``y`` of an image ``x`` seen by ``operator``.

    The score is the gradient that torch's autograd gives of ``log_prob``; for complex ``x`` this is
    ``d/d Re x + i d/d Im x``. Standard deviations are those of one real component.
    """

    def __init__(self, operator: Operator, y: Tensor) -> None:
        super().__init__()
        operator.range.check(y, "the measurement")
        self.operator = operator
        self.y: Tensor
        self.register_buffer("y", y)

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-len(self.operator.range.shape), 0))

    @property
    def item_axes(self) -> int:
        """How many trailing axes of an image belong to one item."""
        return len(self.operator.domain.shape)

    @property
    def items(self) -> int:
        """How many items the batch has."""
        return self.y.shape[: self.y.ndim - len(self.operator.range.shape)].numel()

    def zeros(self) -> Tensor:
        """An image of zeros, ``(*batch, *domain.shape)``, of the measurement's precision."""
        real = self.y.real.dtype if self.y.is_complex() else self.y.dtype
        dtype = real.to_complex() if self.operator.domain.is_complex else real
        batch = self.y.shape[: self.y.ndim - len(self.operator.range.shape)]
        return torch.zeros((*batch, *self.operator.domain.shape), dtype=dtype, device=self.y.device)

    def observing(self, y: Tensor) -> Self:
        """The likelihood of another measurement by the same instrument: operator, noise, weight.

        Raises ShapeError for ``y`` of another shape.
        """
        if y.shape != self.y.shape:
            raise ShapeError(
                f"another measurement has shape {tuple(y.shape)}, this one {tuple(self.y.shape)}: "
                "build a new likelihood"
            )
        twin = copy.copy(self)
        twin._buffers = dict(self._buffers)  # the copy is shallow: this one keeps its own y
        twin.y = y
        return twin

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """``log p(y | x)`` up to a constant in ``x``, ``(*batch,)``."""

    @abstractmethod
    def score(self, x: Tensor) -> Tensor:
        """``d log p(y | x) / dx``, of the shape of ``x``."""

    @abstractmethod
    def curvature(self, x: Tensor, v: Tensor) -> Tensor:
        """``A* W A v`` with ``W`` the expected curvature of ``-log p`` at ``A x``."""

    @abstractmethod
    def information(self) -> Tensor:
        """``diag(A* W A)``: one over the variance that each pixel would have alone."""

    @abstractmethod
    def chi2(self, x: Tensor) -> Tensor:
        """Mean of ``w |y - A x|^2`` over the real components that were measured, ``(*batch,)``."""

    @property
    @abstractmethod
    def noise_scale(self) -> Tensor:
        """One typical standard deviation per item, ``(*batch, 1, ..., 1)`` against ``x``."""


class Gaussian(Likelihood):
    """``y = A x + n`` with ``n ~ N(0, sigma^2)``: ``score(x) = A* W (y - A x)``, ``W = 1/sigma^2``.

    Args:
        operator: the forward model ``A``; where it is not linear, ``A*`` is its vjp at ``x``.
        y: the measurement, ``(*batch, *range.shape)``.
        sigma: standard deviation of one real component: a number, or a tensor broadcastable to
            ``y`` (per item ``(*batch, 1, ...)``, per coil ``(coil, 1, 1)``, per pixel ``(y, x)``).
        weight: real, 0 where nothing was measured, else 1; broadcastable to ``y``.
        coil_covariance: ``(coil, coil)`` Hermitian covariance of the noise between coils, for
            k-space ``(..., coil, y, x)``, in units of ``sigma^2`` per real component; ``W`` is
            then its inverse over ``sigma^2``.

    Where the operator itself measures nothing (its mask), ``W`` is zero. Where ``W`` is one number
    per item on all that the operator measures, it commutes with ``A*``; score and curvature then
    take the operator's normal, which is several times faster than forward and adjoint.

    Raises:
        DataError: noise that is not finite and positive, or a covariance that is not positive.
        ShapeError: noise or weight that does not broadcast to ``y``.
    """

    def __init__(
        self,
        operator: Operator,
        y: Tensor,
        sigma: float | Tensor,
        weight: Tensor | None = None,
        coil_covariance: Tensor | None = None,
    ) -> None:
        super().__init__(operator, y)
        real = y.real if y.is_complex() else y
        sigma = torch.as_tensor(sigma, dtype=real.dtype, device=y.device)
        for tensor, name in ((sigma, "sigma"), (weight, "weight")):
            if tensor is not None:
                _check_broadcast(tensor, y, name)
        mask = _product(weight, operator.measured)
        good = torch.isfinite(sigma) & (sigma > 0)
        if mask is not None:
            good = good | (mask == 0)
        if not bool(good.all()):
            raise DataError(
                f"noise sigma must be finite and above zero, got {_extremes(sigma)}: "
                "give the standard deviation of the noise, or mask pixels that have none"
            )
        precision = torch.where(sigma > 0, sigma, torch.inf).pow(-2)
        whitener = None if coil_covariance is None else _whitener(coil_covariance, operator, y)
        per_item = None
        back = None
        if isinstance(operator, LinearOperator) and whitener is None:
            per_item = self._per_item(precision) if _covers(weight, operator.measured) else None
            back = None if per_item is None else operator.adjoint(y)
        if mask is not None:
            precision = torch.where(mask > 0, mask * precision, 0).to(real.dtype)
        self.precision: Tensor
        self.per_item: Tensor | None
        self.back: Tensor | None
        self.whitener: Tensor | None
        self._scale: Tensor
        self.register_buffer("precision", precision)
        self.register_buffer("per_item", per_item)
        self.register_buffer("back", back)
        self.register_buffer("_scale", self._typical(precision))
        self.register_buffer("whitener", whitener)

    def observing(self, y: Tensor) -> Self:
        """As of any likelihood; ``A* y`` follows where it is kept."""
        twin = super().observing(y)
        if twin.back is not None:
            assert isinstance(twin.operator, LinearOperator)
            twin.back = twin.operator.adjoint(y)
        return twin

    def _per_item(self, precision: Tensor) -> Tensor | None:
        """The precision as ``(*batch, 1, ..., 1)`` against ``x`` if it is one number per item."""
        axes = self._axes
        if any(size != 1 for size in precision.shape[-len(axes) :]):
            return None
        batch = precision.shape[: max(0, precision.ndim - len(axes))]
        return precision.reshape(*batch, *(1 for _ in self.operator.domain.shape))

    def _typical(self, precision: Tensor) -> Tensor:
        """Root of the harmonic mean variance of what was measured, one number per item.

        A mean (not a median) so that it is exactly equivariant to scaling and cheap.
        """
        axes = self._axes
        precision = precision[(None,) * max(0, len(axes) - precision.ndim)]
        count = (precision > 0).sum(dim=axes).clamp_min(1)
        tiny = torch.finfo(precision.dtype).tiny
        typical = (precision.sum(dim=axes) / count).clamp_min(tiny).rsqrt()
        return typical.reshape(*typical.shape, *(1 for _ in self.operator.domain.shape))

    def _weighted(self, r: Tensor) -> Tensor:
        if self.whitener is None:
            return self.precision * r
        root = self.precision.sqrt()  # on both sides, so that W stays Hermitian
        inverse = self.whitener.mH @ self.whitener
        white: Tensor = (root * r).movedim(self._axes[0], -1) @ inverse.mT
        return root * white.movedim(-1, self._axes[0])

    def log_prob(self, x: Tensor) -> Tensor:
        """``-1/2 sum W |y - A x|^2``, ``(*batch,)``."""
        r = self.y - self.operator(x)
        weighted = self._weighted(r)
        power: Tensor = (r.conj() * weighted).real if r.is_complex() else r * weighted
        return -0.5 * power.sum(dim=self._axes)

    def score(self, x: Tensor) -> Tensor:
        """``A* W (y - A x)``, of the shape of ``x``."""
        if self.per_item is not None and isinstance(self.operator, LinearOperator):
            assert self.back is not None
            return self.per_item * (self.back - self.operator.normal(x))
        return self.operator.vjp(x, self._weighted(self.y - self.operator(x)))

    def curvature(self, x: Tensor, v: Tensor) -> Tensor:
        """``A* W A v``, of Gauss and Newton: it depends on ``x`` where ``A`` is not linear."""
        if self.per_item is not None and isinstance(self.operator, LinearOperator):
            return self.per_item * self.operator.normal(v)
        return self.operator.vjp(x, self._weighted(self.operator.jvp(x, v)))

    def information(self) -> Tensor:
        """``diag(A* W A)``, for ``x``; of a coil covariance only its inverse's diagonal."""
        if self.whitener is None:
            return self.operator.normal_diagonal(self.precision)
        own = self.whitener.abs().square().sum(dim=0)
        own = own.reshape(-1, *(1 for _ in self._axes[1:]))
        return self.operator.normal_diagonal(self.precision * own)

    def chi2(self, x: Tensor) -> Tensor:
        """Mean of ``w |y - A x|^2`` over the measured real components, ``(*batch,)``."""
        ones = torch.ones_like(self.y.real if self.y.is_complex() else self.y)
        count = (ones * (self.precision > 0)).sum(dim=self._axes)
        components = 2 if self.y.is_complex() else 1
        return -2 * self.log_prob(x) / (components * count.clamp_min(1))

    @property
    def noise_scale(self) -> Tensor:
        """Root of the harmonic mean of ``sigma^2`` over what was measured, per item."""
        return self._scale


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
        _check_broadcast(background, counts, "background")
        if not bool((background > 0).all()) or not bool((counts >= 0).all()):
            raise DataError(
                f"Poisson needs counts >= 0 and background > 0, got counts {_extremes(counts)} and "
                f"background {_extremes(background)}: add the sky level back, or use Gaussian"
            )
        self.background: Tensor
        self.weight: Tensor
        self.register_buffer("background", background)
        weight = torch.ones((), dtype=counts.dtype) if weight is None else weight.to(counts.dtype)
        _check_broadcast(weight, counts, "weight")
        self.register_buffer("weight", weight.to(counts.device))

    def _rate(self, x: Tensor) -> Tensor:
        rate = self.operator(x) + self.background
        return torch.maximum(rate, 0.1 * self.background)

    def log_prob(self, x: Tensor) -> Tensor:
        """``sum w (y log rate - rate)``, ``(*batch,)``."""
        rate = self._rate(x)
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
        return self.operator.vjp(x, self.weight / self._rate(x) * self.operator.jvp(x, v))

    def information(self) -> Tensor:
        """``diag(A* W A)`` with ``W = 1 / max(y, background)``."""
        return self.operator.normal_diagonal(self._precision())

    def chi2(self, x: Tensor) -> Tensor:
        """Mean of ``(y - rate)^2 / rate`` over measured pixels (Pearson), ``(*batch,)``."""
        rate = self._rate(x)
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


def _covers(weight: Tensor | None, measured: Tensor | None) -> bool:
    """Whether the weight is one wherever the operator measures."""
    if weight is None:
        return True
    ones = weight == 1
    return bool((ones if measured is None else ones | (measured == 0)).all())


def _product(weight: Tensor | None, measured: Tensor | None) -> Tensor | None:
    if weight is None or measured is None:
        return measured if weight is None else weight
    return weight * measured


def _check_broadcast(tensor: Tensor, y: Tensor, name: str) -> None:
    try:
        tensor.expand(y.shape)
    except RuntimeError as error:
        raise ShapeError(
            f"{name} of shape {tuple(tensor.shape)} does not broadcast to the measurement "
            f"{tuple(y.shape)}: give one number, one per item, per coil or per pixel"
        ) from error


def _extremes(tensor: Tensor) -> str:
    if tensor.numel() == 1:
        return f"{tensor.item():.4g}"
    return f"values from {tensor.min().item():.4g} to {tensor.max().item():.4g}"


def _whitener(covariance: Tensor, operator: Operator, y: Tensor) -> Tensor:
    """``L^-1`` of the covariance ``L L^H`` between the coils, the first axis of the range."""
    coils = operator.range.shape[0] if len(operator.range.shape) > 2 else 0
    if covariance.shape != (coils, coils):
        raise ShapeError(
            f"coil_covariance must be ({coils}, {coils}) for this k-space, "
            f"got {tuple(covariance.shape)}: estimate it from a noise scan of the same coils"
        )
    factor, info = torch.linalg.cholesky_ex(covariance.to(y.dtype))
    if int(info) != 0 or not math.isfinite(float(factor.abs().sum())):
        raise DataError(
            "coil_covariance is not positive definite: use more noise samples than coils"
        )
    identity = torch.eye(coils, dtype=y.dtype, device=y.device)
    whitener: Tensor = torch.linalg.solve_triangular(factor, identity, upper=False)
    return whitener
