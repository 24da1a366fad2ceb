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
    damping: float,
    lengths: StepLengths | None = None,
) -> Tensor:
    """Solve ``(s^2 A* W A + damping) d = s^2 score`` by ``iterations`` of conjugate gradients.

    ``s`` is the likelihood's noise scale, so the damping is in units of the noise's precision and
    the result, in units of ``x``, scales with the data. Batch items are independent.

    Args:
        likelihood: gives the curvature ``A* W A``.
        x: where the curvature is taken, ``(*batch, ..., y, x)``.
        score: the gradient of the log-likelihood there.
        iterations: conjugate-gradient steps, at least 1.
        damping: at least 0; with 0 the number of iterations regularises.
        lengths: step lengths that the parts of one image share, recorded here or replayed.
    """
    variance = likelihood.noise_scale**2
    if lengths is not None and lengths.replaying:
        return _replayed(likelihood, x, variance * score, iterations, damping, lengths)
    dims = tuple(range(-likelihood.item_axes, 0))
    if lengths is not None:
        dims = (0, *dims)  # the parts of an image, joined
    residual = variance * score
    direction = torch.zeros_like(residual)
    conjugate = residual
    power = _power(residual, dims)
    tiny = torch.finfo(power.dtype).tiny
    # Where rounding is all that is left, an operator that sees nothing of it would divide by zero.
    least = (16 * torch.finfo(power.dtype).eps) ** 2 * power
    for _ in range(iterations):
        image = variance * likelihood.curvature(x, conjugate) + damping * conjugate
        curvature = (conjugate.conj() * image).real.sum(dim=dims, keepdim=True)
        # An item that has converged has nothing left to divide by: it stays where it is.
        going = (curvature > tiny) & (power > least)
        step = torch.where(going, power / curvature.clamp_min(tiny), 0.0)
        direction = direction + step * conjugate
        residual = residual - step * image
        fresh = _power(residual, dims)
        ratio = torch.where(power > tiny, fresh / power.clamp_min(tiny), 0.0)
        conjugate = residual + ratio * conjugate
        power = fresh
        if lengths is not None:
            lengths.record(step, ratio)
    return direction


def _replayed(
    likelihood: LikelihoodLike,
    x: Tensor,
    residual: Tensor,
    iterations: int,
    damping: float,
    lengths: StepLengths,
) -> Tensor:
    """The same recurrence with lengths that are given: a fixed, local filter of ``residual``."""
    variance = likelihood.noise_scale**2
    direction = torch.zeros_like(residual)
    conjugate = residual
    for _ in range(iterations):
        step, ratio = lengths.replay()
        image = variance * likelihood.curvature(x, conjugate) + damping * conjugate
        direction = direction + step * conjugate
        residual = residual - step * image
        conjugate = residual + ratio * conjugate
    return direction


def consistent(
    likelihood: LikelihoodLike,
    x: Tensor,
    iterations: int,
    damping: float,
    lengths: StepLengths | None = None,
) -> Tensor:
    """Bring an estimate back to the data: ``x + (s^2 A* W A + damping)^-1 s^2 score(x)``.

    This is the mode of the likelihood times a Gaussian around ``x`` of variance ``s^2 / damping``:
    what was measured well follows the data, the rest stays. It is differentiable in ``x``; the
    backward pass solves the same (self-adjoint) system for the gradient, without a tape. With
    ``lengths`` (inference only) see `newton_direction`.
    """
    if lengths is not None:
        score = likelihood.score(x)
        return x + newton_direction(likelihood, x, score, iterations, damping, lengths)
    moved: Tensor = _Consistent.apply(x, likelihood, iterations, damping)  # type: ignore[no-untyped-call]
    return moved


class _Consistent(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, likelihood: LikelihoodLike, iterations: int, damping: float
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.settings = likelihood, iterations, damping
        return x + newton_direction(likelihood, x, likelihood.score(x), iterations, damping)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = gradients
        (x,) = ctx.saved_tensors
        likelihood, iterations, damping = ctx.settings
        pull = -likelihood.curvature(x, gradient)
        return (
            gradient + newton_direction(likelihood, x, pull, iterations, damping),
            None,
            None,
            None,
        )


def _power(tensor: Tensor, dims: tuple[int, ...]) -> Tensor:
    return (tensor.conj() * tensor).real.sum(dim=dims, keepdim=True)
