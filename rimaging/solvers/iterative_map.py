"""Iterative maximum a posteriori: gradient ascent of the likelihood and a prior made by hand."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError
from rimaging.operators.likelihood import Likelihood
from rimaging.solvers.differences import (
    NORM_SQUARED,
    differences,
    differences_adjoint,
    steepness,
)
from rimaging.solvers.smooth_start import smooth_start

Prior = Literal["huber", "tv", "gauss-markov"]


def iterative_map(
    likelihood: Likelihood,
    *,
    lamda: float,
    prior: Prior = "huber",
    width: float = 1.0,
    steps: int = 100,
    momentum: bool = True,
    x0: Tensor | None = None,
) -> list[Tensor]:
    """Climb ``log p(y | x) + log p(x)`` by its gradient, ``x <- x + gamma (score(x) + pull(x))``.

    With ``s`` the noise scale and ``g = |D x|`` the steepness at each pixel, ``log p(x)`` is minus
    the sum over pixels of

        huber          lamda / s   (g^2 / (2 w s)  where g < w s,  else  g - w s / 2)
        tv             lamda / s   sqrt(g^2 + (w s)^2)
        gauss-markov   lamda / s^2 g^2 / 2

    so that (c y, c sigma) gives c x. ``gamma`` is one over a bound of the curvature: that of the
    likelihood by power iteration, that of the prior in closed form.

    Args:
        likelihood: of real images ``(*batch, y, x)``, of any operator, linear or not.
        lamda: weight of the prior, 0 or more.
        prior: its shape.
        width: ``w``, the steepness in units of the noise below which it is quadratic.
        steps: of ascent.
        momentum: Nesterov's, restarted for each item where it would go downhill.
        x0: where to begin; by default `smooth_start`.

    Returns:
        The estimate after each step.

    Raises:
        OptionError: an unknown prior, a negative lamda, a width or steps not above zero.
        DataError: complex images, a likelihood that is not finite.

    Source: Putzky & Welling (2017), equation 4; Rudin, Osher & Fatemi (1992) and Huber (1964) for
    the priors; Nesterov (1983), O'Donoghue & Candes (2015) for momentum and restart.
    """
    if prior not in get_args(Prior):
        raise OptionError(f"prior {prior!r} does not exist: choose {', '.join(get_args(Prior))}")
    if not 0 <= lamda < math.inf or not width > 0 or steps < 1:
        raise OptionError(
            f"iterative_map got {lamda=}, {width=}, {steps=}: "
            "give lamda >= 0, width > 0, steps >= 1"
        )
    if likelihood.operator.domain.is_complex:
        raise DataError("iterative_map restores real images: this operator is complex")
    scale = likelihood.noise_scale
    knee = width * scale
    x = smooth_start(likelihood) if x0 is None else x0
    bend = 1.0 if prior == "gauss-markov" else 1 / width
    gamma = scale**2 / (curvature_bound(likelihood, x) + lamda * bend * NORM_SQUARED)

    def climb(x: Tensor) -> Tensor:
        """The gradient of the posterior."""
        gradient = differences(x)
        if prior == "gauss-markov":
            pull = gradient / scale
        else:
            g = steepness(gradient)
            pull = gradient / (g.maximum(knee) if prior == "huber" else (g**2 + knee**2).sqrt())
        return likelihood.score(x) - lamda / scale * differences_adjoint(pull)

    axes = tuple(range(-likelihood.item_axes, 0))
    estimates: list[Tensor] = []
    ahead, weight = x, torch.ones_like(scale)
    for _ in range(steps):
        uphill = climb(ahead)
        fresh = ahead + gamma * uphill
        if momentum:
            astray = (uphill * (fresh - x)).sum(dim=axes, keepdim=True) < 0
            weight = torch.where(astray, 1.0, weight)
            heavier = (1 + (1 + 4 * weight**2).sqrt()) / 2
            push = torch.where(astray, 0.0, (weight - 1) / heavier)
            ahead, weight = fresh + push * (fresh - x), heavier
        else:
            ahead = fresh
        x = fresh
        estimates.append(x)
    if not bool(torch.isfinite(x).all()):
        raise DataError("the ascent is not finite: check that data and noise have the same units")
    return estimates


def curvature_bound(likelihood: Likelihood, x: Tensor, iterations: int = 20) -> Tensor:
    """The largest eigenvalue of ``s^2 A* W A`` at ``x`` for each item, by power iteration.

    Five percent are added, since the iteration comes from below.
    """
    generator = torch.Generator().manual_seed(0)
    axes = tuple(range(-likelihood.item_axes, 0))
    v = torch.randn(x.shape[-len(axes) :], generator=generator, dtype=x.dtype).to(x.device)
    v = v.expand(x.shape)
    value = torch.ones_like(likelihood.noise_scale)
    for _ in range(iterations):
        v = likelihood.noise_scale**2 * likelihood.curvature(x, v)
        value = torch.linalg.vector_norm(v, dim=axes, keepdim=True)
        v = v / value.clamp_min(torch.finfo(v.dtype).tiny)
    return 1.05 * value
