"""Maximum entropy with total variation: a positive sky, for any likelihood, linear or not."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.likelihood import Likelihood
from rimaging.solvers.differences import differences, differences_adjoint, steepness

FLOOR = 1e-9
"""Least brightness relative to the peak of the prior: what a logarithm needs."""

SMOOTH = 1e-2
"""Steepness, relative to the mean of the prior's bright part, below which TV is quadratic."""


def maximum_entropy(
    likelihood: Likelihood,
    prior: Tensor,
    *,
    entropy: float = 1.0,
    variation: float = 0.0,
    iterations: int = 300,
    x0: Tensor | None = None,
) -> Tensor:
    """The positive image that the data and two priors agree on.

        argmin_(x > 0)  -log p(y | x) + (a / F) sum_i [x_i log(x_i / m_i) - x_i + m_i]
                        + (b / F) sum_i |D x|_i,      F = sum m

    By L-BFGS with bounds. Since both priors are relative to the flux of ``m``, (c y, c sigma, c m)
    gives c x. Operators that are not linear have several maxima: then ``m`` says where to begin.

    Args:
        likelihood: of one real image ``(y, x)``.
        prior: ``m > 0``, where the sky is expected and how bright, ``(y, x)``.
        entropy: ``a``, 0 or more.
        variation: ``b``, 0 or more.
        iterations: the most steps of L-BFGS.
        x0: where to begin; by default the prior.

    Raises:
        OptionError: weights below 0, fewer than one iteration.
        ShapeError, DataError: a prior of another shape, or not above 0; complex images.

    Source: Narayan & Nityananda, ARA&A 24, 127 (1986); Event Horizon Telescope Collaboration,
    ApJL 875, L4 (2019), section 6.2; Byrd et al., SIAM J. Sci. Comput. 16, 1190 (1995).
    """
    from scipy.optimize import minimize

    if entropy < 0 or variation < 0 or iterations < 1:
        raise OptionError(
            f"maximum_entropy got {entropy=}, {variation=}, {iterations=}: give weights from 0 on "
            "and at least one iteration"
        )
    shape = likelihood.operator.domain.shape
    if likelihood.operator.domain.is_complex:
        raise DataError("maximum_entropy restores real images: this operator is complex")
    if tuple(prior.shape) != tuple(shape) or not bool((prior > 0).all()):
        raise ShapeError(
            f"the prior has shape {tuple(prior.shape)} and a least value of "
            f"{float(prior.min()):.3g}: expected {tuple(shape)}, above 0 everywhere"
        )
    kind, unit = likelihood.zeros(), float(prior.max())
    flux = float(prior.double().sum())
    expected = (prior.double() / unit).clamp_min(10 * FLOOR)
    a, b = entropy * unit / flux, variation * unit / flux
    bright = expected > 0.1
    knee = SMOOTH * float(expected[bright].mean())

    def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
        x = torch.from_numpy(values.reshape(shape)).clamp_min(FLOOR)
        image = (unit * x).to(kind)
        ratio = (x / expected).log()
        gradient = differences(x)
        steep = (steepness(gradient) ** 2 + knee**2).sqrt()
        value, score = _value_and_score(likelihood, image)
        value += a * float((x * ratio - x + expected).sum()) + b * float((steep - knee).sum())
        uphill = -unit * score.double()
        uphill = uphill + a * ratio + b * differences_adjoint(gradient / steep)
        return value, uphill.numpy().ravel().astype(np.float64)

    start = expected if x0 is None else (x0.double() / unit).clamp_min(10 * FLOOR)
    found = minimize(
        objective,
        start.numpy().ravel(),
        jac=True,
        method="L-BFGS-B",
        bounds=[(FLOOR, None)] * int(start.numel()),
        options={"maxiter": iterations, "maxcor": 20, "ftol": 1e-10, "gtol": 1e-12},
    )
    if not np.isfinite(found.x).all():
        raise DataError("the image is not finite: check that data and noise have the same units")
    return (unit * torch.from_numpy(found.x.reshape(shape))).to(kind)


def _value_and_score(likelihood: Likelihood, x: Tensor) -> tuple[float, Tensor]:
    """``-log p(y | x)`` and the score; of a Gaussian with one forward less."""
    if not isinstance(likelihood, Gaussian) or likelihood.whitener is not None:
        return -float(likelihood.log_prob(x)), likelihood.score(x)
    residual = likelihood.y - likelihood.operator(x)
    weighted = likelihood.precision * residual
    return 0.5 * float((residual * weighted).sum()), likelihood.operator.vjp(x, weighted)
