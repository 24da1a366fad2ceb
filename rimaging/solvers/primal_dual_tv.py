"""Total variation for any operator, by a primal-dual method without inner iterations."""

from __future__ import annotations

import math

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
from rimaging.solvers.iterative_map import curvature_bound
from rimaging.solvers.smooth_start import smooth_start

_DUAL_STEP = 0.1


def primal_dual_tv(likelihood: Likelihood, *, lamda: float, iterations: int = 150) -> Tensor:
    """``argmin_x -s^2 log p(y | x) + lamda s sum |D x|``, isotropic, ``s`` the noise scale.

        x' = x + tau (s^2 score(x) - D* p),   p = project_(lamda s) (p + rho D (2 x' - x))

    Args:
        likelihood: of real images ``(*batch, y, x)``, smooth and log-concave.
        lamda: penalty in units of the noise, 0 or more.
        iterations: steps to take.

    Raises:
        OptionError: a negative lamda, fewer than one iteration. DataError: complex images.

    Source: Condat, J. Optim. Theory Appl. 158, 460 (2013); Vu, Adv. Comput. Math. 38, 667 (2013).
    """
    if not 0 <= lamda < math.inf or iterations < 1:
        raise OptionError(
            f"primal_dual_tv got {lamda=}, {iterations=}: give lamda >= 0, iterations >= 1"
        )
    if likelihood.operator.domain.is_complex:
        raise DataError("primal_dual_tv restores real images: this operator is complex")
    variance = likelihood.noise_scale**2
    radius = lamda * likelihood.noise_scale
    x = smooth_start(likelihood)
    tau = 1 / (0.5 * curvature_bound(likelihood, x) + NORM_SQUARED * _DUAL_STEP)
    p = torch.zeros_like(differences(x))
    tiny = torch.finfo(x.dtype).tiny
    for _ in range(iterations):
        fresh = x + tau * (variance * likelihood.score(x) - differences_adjoint(p))
        p = p + _DUAL_STEP * differences(2 * fresh - x)
        p = p * (radius / steepness(p).clamp_min(tiny)).clamp_max(1.0)
        x = fresh
    return x
