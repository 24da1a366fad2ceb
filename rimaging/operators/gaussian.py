"""Additive Gaussian noise: the same everywhere, or of each pixel, coil, or between coils."""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor

from rimaging.errors import DataError, ShapeError
from rimaging.operators.likelihood import Likelihood, check_broadcast, extremes
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.operator import Operator


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
                check_broadcast(tensor, y, name)
        mask = _product(weight, operator.measured)
        good = torch.isfinite(sigma) & (sigma > 0)
        if mask is not None:
            good = good | (mask == 0)
        if not bool(good.all()):
            raise DataError(
                f"noise sigma must be finite and above zero, got {extremes(sigma)}: "
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

    def imputed(self, x: Tensor) -> Tensor:
        """The data as they are to be expected of an image, where more is known of them than ``y``.

        Of a Gaussian that is ``y`` itself. It is the first half of expectation-maximisation.
        """
        return self.y

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

        A mean (not a median) so that it is exactly equivariant to scaling and cheap; 1 of an item
        without any measured value, of which nothing comes.
        """
        axes = self._axes
        precision = precision[(None,) * max(0, len(axes) - precision.ndim)]
        count = (precision > 0).sum(dim=axes)
        typical = torch.where(count > 0, precision.sum(dim=axes) / count, 1.0).rsqrt()
        return typical.reshape(*typical.shape, *(1 for _ in self.operator.domain.shape))

    def _weighted(self, r: Tensor) -> Tensor:
        if self.whitener is None:
            return self.precision * r
        root = self.precision.sqrt()  # on both sides, so that W stays Hermitian
        inverse = self.whitener.mH @ self.whitener
        white: Tensor = (root * r).movedim(self._axes[0], -1) @ inverse.mT
        return root * white.movedim(-1, self._axes[0])

    @property
    def measured(self) -> Tensor:
        """Where the precision is above zero."""
        return self.precision > 0

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
        seen, back = self.operator.pullback(x)
        return back(self._weighted(self.y - seen))

    def curvature(self, x: Tensor, v: Tensor) -> Tensor:
        """``A* W A v``, of Gauss and Newton: it depends on ``x`` where ``A`` is not linear."""
        if self.per_item is not None and isinstance(self.operator, LinearOperator):
            return self.per_item * self.operator.normal(v)
        return self.operator.vjp(x, self._weighted(self.operator.jvp(x, v)))

    def steepness(self, x: Tensor, v: Tensor) -> Tensor:
        """As of any likelihood, without the way back: ``|W^1/2 J v|^2``."""
        seen = self.operator.jvp(x, v)
        power = (seen.conj() * self._weighted(seen)).real.sum(dim=self._axes)
        return power.reshape(*power.shape, *(1 for _ in self.operator.domain.shape))

    def information(self) -> Tensor:
        """``diag(A* W A)``, for ``x``; of a coil covariance only its inverse's diagonal."""
        if self.whitener is None:
            return self.operator.normal_diagonal(self.precision)
        own = self.whitener.abs().square().sum(dim=0)
        return self.operator.normal_diagonal(self.precision * self._of_coils(own))

    def bound(self, x: Tensor) -> Tensor:
        """As of any likelihood, the same for every ``x``."""
        if self.whitener is None:
            return self.operator.normal_bound(self.precision)
        own = (self.whitener.mH @ self.whitener).abs().sum(dim=0)
        return self.operator.normal_bound(self.precision * self._of_coils(own))

    def _of_coils(self, values: Tensor) -> Tensor:
        return values.reshape(-1, *(1 for _ in self._axes[1:]))

    def chi2(self, x: Tensor) -> Tensor:
        """Mean of ``w |y - A x|^2`` over the measured real components, ``(*batch,)``."""
        ones = torch.ones_like(self.y.real if self.y.is_complex() else self.y)
        count = (ones * (self.precision > 0)).sum(dim=self._axes)
        components = 2 if self.y.is_complex() else 1
        return -2 * self.log_prob(x) / (components * count.clamp_min(1))

    def noise(self, standard: Tensor) -> Tensor:
        """Noise of this likelihood from normal numbers of unit variance, of the shape of ``y``.

        0 where nothing was measured.
        """
        if self.whitener is not None:
            flat = torch.linalg.solve_triangular(self.whitener, standard.flatten(-2), upper=False)
            standard = flat.reshape(standard.shape)
        return torch.where(self.measured, self.precision, torch.inf).rsqrt() * standard

    def weighted_residual(self, x: Tensor) -> Tensor:
        """``(y - A x) / sigma``, white where the model is right; 0 where nothing was measured."""
        residual = self.precision.sqrt() * (self.y - self.expected(x))
        if self.whitener is None:
            return residual
        white = residual.movedim(self._axes[0], -1) @ self.whitener.mT
        return white.movedim(-1, self._axes[0])

    @property
    def noise_scale(self) -> Tensor:
        """Root of the harmonic mean of ``sigma^2`` over what was measured, per item."""
        return self._scale


def with_own_noise(error: Tensor, likelihood: object, scale: Tensor) -> Tensor:
    """The error of an image with its residual put back, with the noise that each pixel has.

        e'^2 = e^2 + sigma_i^2 - s^2,  at least (0.9 sigma_i)^2

    of an error ``e`` that was learned where the noise is ``s`` everywhere: it knows next to nothing
    of noise that differs, which the residual brings back pixel by pixel. As it is where nothing was
    measured, where ``sigma_i = s``, and of likelihoods that are not Gaussian on these pixels.
    """
    if not isinstance(likelihood, Gaussian) or likelihood.y.is_complex():
        return error
    if likelihood.y.shape[-2:] != error.shape[-2:]:
        return error
    own = likelihood.precision.reciprocal()
    differs = likelihood.measured & ((own - scale**2).abs() > 1e-5 * scale**2)
    changed = (error.square() + own - scale**2).maximum(0.81 * own).sqrt()
    return torch.where(differs, changed, error)


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
