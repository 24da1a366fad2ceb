"""Damped Gauss-Newton directions, and the mode that they lead to, by conjugate gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.rim.chebyshev import chebyshev_direction
from rimaging.rim.curvature import curvature, score
from rimaging.typing import LikelihoodLike


def newton_direction(
    likelihood: LikelihoodLike,
    x: Tensor,
    score: Tensor,
    iterations: int,
    damping: float | Tensor,
    diagonal: Tensor | None = None,
    chebyshev: bool = False,
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
        diagonal: about that of the system, by which the residual is divided (Jacobi's
            preconditioner); worth it where the damping differs much from pixel to pixel.
        chebyshev: take a fixed polynomial in place of conjugate gradients, which brings its own
            ``diagonal`` (`rimaging.rim.chebyshev`).
    """
    if chebyshev:
        return chebyshev_direction(likelihood, x, score, iterations, damping)
    # A complex image as its two real parts: a pass over the memory for each line, not two or three.
    image_is_complex = score.is_complex()
    variance = likelihood.noise_scale**2
    inverse = None if diagonal is None else diagonal.reciprocal()
    if image_is_complex:
        variance = variance.unsqueeze(-1)
        inverse = None if inverse is None else inverse.unsqueeze(-1)
        damping = damping.unsqueeze(-1) if isinstance(damping, Tensor) else damping
    dims = tuple(range(-likelihood.item_axes - image_is_complex, 0))
    residual = variance * _real(score)
    direction = torch.zeros_like(residual)
    conjugate = scaled = _scaled(residual, inverse)
    power = _product(residual, scaled, dims)
    tiny = torch.finfo(power.dtype).tiny
    # Where rounding is all that is left, an operator that sees nothing of it would divide by zero.
    least = (16 * torch.finfo(power.dtype).eps) ** 2 * power.detach()
    for left in reversed(range(iterations)):
        seen = torch.view_as_complex(conjugate) if image_is_complex else conjugate
        curved = _real(curvature(likelihood, x, seen))
        image = torch.addcmul(damping * conjugate, variance, curved)
        steepness = _product(conjugate, image, dims)
        # An item that has converged has nothing left to divide by: it stays where it is.
        going = (steepness > tiny) & (power > least)
        step = _ratio(power, steepness, going)
        direction = torch.addcmul(direction, step, conjugate)
        if left == 0:
            break
        residual = torch.addcmul(residual, step, image, value=-1)
        scaled = _scaled(residual, inverse)
        fresh = _product(residual, scaled, dims)
        ratio = _ratio(fresh, power, power > tiny)
        conjugate = torch.addcmul(scaled, ratio, conjugate)
        power = fresh
    return torch.view_as_complex(direction) if image_is_complex else direction


def consistent(
    likelihood: LikelihoodLike,
    x: Tensor,
    iterations: int,
    damping: float | Tensor,
    diagonal: Tensor | None = None,
    chebyshev: bool = False,
) -> Tensor:
    """Bring an estimate back to the data: ``x + (s^2 A* W A + damping)^-1 s^2 score(x)``.

    This is the mode of the likelihood times a Gaussian around ``x`` of variance ``s^2 / damping``,
    one for all or one per pixel: what was measured well follows the data, the rest stays. Where
    the measurement is not linear in the image, one such solve is not the mode; as many iterations
    then follow the likelihood itself (`_nonlinear`). It is differentiable in ``x``, ``damping`` and
    ``diagonal``, through the iterations that were made. (The gradient of the solution, by one more
    solve of the same system, is another one where few iterations do not reach it: a network drifts
    along the difference.) For ``diagonal`` and ``chebyshev`` see `newton_direction`.
    """
    if not (likelihood.linear or chebyshev):
        return _nonlinear(likelihood, x, iterations, damping, diagonal)
    gradient = score(likelihood, x)
    return x + newton_direction(likelihood, x, gradient, iterations, damping, diagonal, chebyshev)


def _nonlinear(
    likelihood: LikelihoodLike,
    centre: Tensor,
    iterations: int,
    damping: float | Tensor,
    diagonal: Tensor | None,
) -> Tensor:
    """`consistent` by non-linear conjugate gradients (Polak & Ribiere), which start at ``centre``.

    The gradient is taken anew at every iteration, where the iteration stands; the length of a step
    is that to the minimum of the Gauss-Newton model there. A training differentiates through the
    gradients, with lengths and conjugation as they are: half the cost of differentiating these too.
    """
    variance = likelihood.noise_scale**2
    dims = tuple(range(-likelihood.item_axes, 0))
    tiny = torch.finfo(variance.dtype).tiny
    inverse = None if diagonal is None else diagonal.reciprocal()
    x = centre
    gradient = conjugate = torch.zeros_like(centre)
    power = torch.zeros_like(variance)
    for _ in range(iterations):
        fresh = variance * score(likelihood, x) + damping * (centre - x)
        scaled = _scaled(fresh, inverse)
        with torch.no_grad():
            ratio = _ratio(_product(fresh - gradient, scaled, dims), power, power > tiny)
        conjugate = scaled + ratio.clamp_min(0) * conjugate
        with torch.no_grad():
            gradient, power = fresh, _product(fresh, scaled, dims)
            held = _product(conjugate, damping * conjugate, dims)
            steep = variance * likelihood.steepness(x, conjugate) + held
            length = _ratio(_product(fresh, conjugate, dims), steep, steep > tiny)
        x = x + length * conjugate
    return x


def _real(x: Tensor) -> Tensor:
    """A complex image as its two real parts, ``(..., 2)``."""
    return torch.view_as_real(x) if x.is_complex() else x


def _scaled(residual: Tensor, inverse: Tensor | None) -> Tensor:
    return residual if inverse is None else residual * inverse


def _product(one: Tensor, other: Tensor, dims: tuple[int, ...]) -> Tensor:
    return (one.conj() * other).real.sum(dim=dims, keepdim=True)


def _ratio(one: Tensor, other: Tensor, where: Tensor) -> Tensor:
    """``one / other`` where asked, else 0, and no NaN in its gradient."""
    return torch.where(where, one / torch.where(where, other, 1.0), 0.0)
