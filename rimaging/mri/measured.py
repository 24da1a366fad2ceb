"""Images that keep every sample that was measured, as GRAPPA's do."""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.coils import expand_coils, root_sum_of_squares, weighted_power
from rimaging.operators.fourier import centred_ifft
from rimaging.operators.likelihood import Likelihood
from rimaging.operators.noncartesian import NonCartesianMRI, equalised
from rimaging.solvers.cg import cg

ITERATIONS = 8
"""Of conjugate gradients along a trajectory, after which nothing changes any more."""


def with_measured(x: Tensor, likelihood: Likelihood) -> Tensor:
    """Put the residual back, coil by coil: ``|x'| = rss_c(S_c x + d_c) / |S|``.

    ``d_c`` is the coil image of least power that explains what is left over: on a grid
    ``F* (y_c - m F S_c x)``, along a trajectory the least-squares solution of
    ``F_k d_c = y_c - F_k S_c x``, no sample counting for more than its area of k-space
    (`pipe_menon`).

    ``x``: ``(..., y, x)`` or ``(..., set, y, x)``; the image is ``(..., y, x)`` with the phase of
    ``x``, of its first set. ``|S|`` is the root-sum-of-squares of the maps (of the first set), one
    for ESPIRiT's: where they are zero, its mean elsewhere, and one in a slice that no coil sees. As
    of any root-sum-of-squares, noise alone has a mean above zero.
    """
    operator = likelihood.operator
    assert isinstance(operator, CartesianMRI | NonCartesianMRI)
    maps, sets, ndim = operator.maps, operator.sets, operator.ndim
    coils = expand_coils(maps, x, sets, ndim) + left_over(x, likelihood)
    first, phase = (maps.select(-ndim - 2, 0), x.select(-ndim - 1, 0)) if sets else (maps, x)
    size = weighted_power(first, None, False, ndim).sqrt()
    seen = size[size > 0]
    size = torch.where(size > 0, size, seen.mean() if len(seen) else 1)
    return torch.polar(root_sum_of_squares(coils, ndim) / size, phase.angle())


def left_over(x: Tensor, likelihood: Likelihood) -> Tensor:
    """The coil images ``d`` of `with_measured`, ``(..., coil, y, x)``."""
    if isinstance(likelihood.operator, CartesianMRI):
        return centred_ifft(likelihood.unexplained(x), likelihood.operator.axes)
    balanced = equalised(likelihood)
    operator = balanced.operator
    assert isinstance(operator, NonCartesianMRI) and operator.weight is not None
    weight = operator.weight.flatten(-2)
    rest = operator.nufft.adjoint(weight * balanced.unexplained(x).flatten(-2))
    return cg(operator.nufft, rest, weight=weight.square(), iterations=ITERATIONS).x
