"""What an error map promises, and the loss that holds it to that."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from rimaging.typing import LikelihoodLike

SHARES = {1.0: 0.683, 1.96: 0.95}
"""So many errors of the map, and how much of the truth shall lie within them."""

LEAST = 1e-6
"""Errors in units of the noise below which none is told from another."""


def coverage_loss(log_error: Tensor, distance: Tensor) -> Tensor:
    """How badly intervals hold the truth: ``mean sum_q rho_q(log |d| - log(z_q e))``.

    ``rho_q(u) = max(q u, (q - 1) u)`` is least where a share ``q`` lies below (Koenker & Bassett,
    Econometrica 46, 1978, 33); of the logarithm, since a quantile does not mind and a star then
    weighs no more than the sky around it. The shares are those of a normal error (`SHARES`).

    Args:
        log_error: of the map, in units of the noise.
        distance: between estimate and truth, real, in units of the noise; it broadcasts.
    """
    found = distance.abs().clamp_min(LEAST).log() - log_error
    total = found.new_zeros(())
    for bound, share in SHARES.items():
        beyond = found - math.log(bound)
        total = total + torch.maximum(share * beyond, (share - 1) * beyond).mean()
    return total


def distances(
    likelihood: LikelihoodLike, estimate: Tensor, truth: Tensor, residual: bool
) -> Tensor:
    """Estimate less truth in units of the noise, ``([part,] error, *batch, [channels,] y, x)``.

    Of complex images their real and imaginary parts stand in front. ``error``: of the estimate, and
    with ``residual`` of the estimate with ``y - A x`` put back, in the middle of a larger image.
    """
    off = (estimate - truth) / likelihood.noise_scale
    found = [off]
    if residual:
        left = likelihood.unexplained(estimate) / likelihood.noise_scale
        sides = [(whole - part) // 2 for whole, part in zip(off.shape, left.shape, strict=True)]
        top, side = sides[-2:]
        found.append(off + F.pad(left, (side, side, top, top)))
    both = torch.stack(found)
    return torch.view_as_real(both).movedim(-1, 0) if both.is_complex() else both
