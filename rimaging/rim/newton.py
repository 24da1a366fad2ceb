"""Damped Gauss-Newton directions by a few conjugate-gradient steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rimaging.rim.lengths import StepLengths
from rimaging.typing import LikelihoodLike


def newton_direction(
    likelihood: LikelihoodLike,
    x: Tensor,
    score: Tensor,
    iterations: int,
    damping: float | Tensor,
    lengths: StepLengths | None = None,
    diagonal: Tensor | None = None,
) -> Tensor:
    """Solve ``(s^2 A* W A + damping) d = s^2 score`` by ``iterations`` of conjugate gradients.

    ``s`` is the likelihood's noise scale, so the damping is in units of the noise's precision and
    the result, in units of ``x``, scales with the data. Batch items are independent.

    Args:
        likelihood: gives the curvature ``A* W A``.
        x: where the curvature is taken, ``(*batch, ..., y, x)``.
        score: the gradient of the log-likelihood there.
        iterations: conjugate-gradient steps, at least 1.
        damping: at least 0, one for all or one per pixel; with 0 the number of iterations
            regularises.
        lengths: step lengths that the parts of one image share, recorded here or replayed.
        diagonal: about that of the system, by which the residual is divided (Jacobi's
            preconditioner); worth it where the damping differs much from pixel to pixel.
    """
    variance = likelihood.noise_scale**2
    if lengths is not None and lengths.replaying:
        return _replayed(likelihood, x, variance * score, iterations, damping, lengths, diagonal)
    dims = tuple(range(-likelihood.item_axes, 0))
    if lengths is not None:
        dims = (0, *dims)  # the parts of an image, joined
    residual = variance * score
    direction = torch.zeros_like(residual)
    conjugate = scaled = _scaled(residual, diagonal)
    power = _product(residual, scaled, dims)
    tiny = torch.finfo(power.dtype).tiny
    # Where rounding is all that is left, an operator that sees nothing of it would divide by zero.
    least = (16 * torch.finfo(power.dtype).eps) ** 2 * power
    for _ in range(iterations):
        image = variance * likelihood.curvature(x, conjugate) + damping * conjugate
        curvature = _product(conjugate, image, dims)
        # An item that has converged has nothing left to divide by: it stays where it is.
        going = (curvature > tiny) & (power > least)
        step = torch.where(going, power / curvature.clamp_min(tiny), 0.0)
        direction = direction + step * conjugate
        residual = residual - step * image
        scaled = _scaled(residual, diagonal)
        fresh = _product(residual, scaled, dims)
        ratio = torch.where(power > tiny, fresh / power.clamp_min(tiny), 0.0)
        conjugate = scaled + ratio * conjugate
        power = fresh
        if lengths is not None:
            lengths.record(step, ratio)
    return direction


def _replayed(
    likelihood: LikelihoodLike,
    x: Tensor,
    residual: Tensor,
    iterations: int,
    damping: float | Tensor,
    lengths: StepLengths,
    diagonal: Tensor | None,
) -> Tensor:
    """The same recurrence with lengths that are given: a fixed, local filter of ``residual``."""
    variance = likelihood.noise_scale**2
    direction = torch.zeros_like(residual)
    conjugate = _scaled(residual, diagonal)
    for _ in range(iterations):
        step, ratio = lengths.replay()
        image = variance * likelihood.curvature(x, conjugate) + damping * conjugate
        direction = direction + step * conjugate
        residual = residual - step * image
        conjugate = _scaled(residual, diagonal) + ratio * conjugate
    return direction


def consistent(
    likelihood: LikelihoodLike,
    x: Tensor,
    iterations: int,
    damping: float | Tensor,
    lengths: StepLengths | None = None,
    diagonal: Tensor | None = None,
) -> Tensor:
    """Bring an estimate back to the data: ``x + (s^2 A* W A + damping)^-1 s^2 score(x)``.

    This is the mode of the likelihood times a Gaussian around ``x`` of variance ``s^2 / damping``,
    one for all or one per pixel: what was measured well follows the data, the rest stays. It is
    differentiable in ``x`` and in ``damping``; the backward pass solves the same (self-adjoint)
    system for the gradient, without a tape. For ``lengths`` (inference only) and ``diagonal`` see
    `newton_direction`.
    """
    if lengths is not None:
        score = likelihood.score(x)
        return x + newton_direction(likelihood, x, score, iterations, damping, lengths, diagonal)
    if not isinstance(damping, Tensor):
        damping = x.real.new_full((), damping)
    moved: Tensor = _Consistent.apply(x, damping, diagonal, likelihood, iterations)  # type: ignore[no-untyped-call]
    return moved


class _Consistent(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        damping: Tensor,
        diagonal: Tensor | None,
        likelihood: LikelihoodLike,
        iterations: int,
    ) -> Tensor:
        score = likelihood.score(x)
        way = newton_direction(likelihood, x, score, iterations, damping, diagonal=diagonal)
        ctx.save_for_backward(x, damping, diagonal, way)
        ctx.settings = likelihood, iterations
        return x + way

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None, None, None]:
        (gradient,) = gradients
        x, damping, diagonal, way = ctx.saved_tensors
        likelihood, iterations = ctx.settings
        variance = likelihood.noise_scale**2
        # With M = s^2 A*WA + damping and u = M^-1 g, the gradients are g - s^2 A*WA u and -u . way.
        solved = newton_direction(
            likelihood, x, gradient / variance, iterations, damping, diagonal=diagonal
        )
        of_x = gradient - variance * likelihood.curvature(x, solved)
        of_damping = None
        if ctx.needs_input_grad[1]:
            of_damping = -(solved.conj() * way).real.sum_to_size(damping.shape)
        return of_x, of_damping, None, None, None


def _scaled(residual: Tensor, diagonal: Tensor | None) -> Tensor:
    return residual if diagonal is None else residual / diagonal


def _product(one: Tensor, other: Tensor, dims: tuple[int, ...]) -> Tensor:
    return (one.conj() * other).real.sum(dim=dims, keepdim=True)
