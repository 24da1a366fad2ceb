"""Damped Gauss-Newton directions by a fixed polynomial: what a tile knows is enough."""

from __future__ import annotations

from torch import Tensor

from rimaging.rim.curvature import curvature
from rimaging.typing import LikelihoodLike

LOWEST = 0.03
"""Lower end of the interval of eigenvalues, of which 1 is the upper one, that is solved for. What
lies below is hardly seen through the noise, and comes slower."""

LEAST = 1e-4
"""Least diagonal, where the precision of the noise is one. In a gap that is wider than the PSF a
pixel is seen through its farthest wing or not at all: its score is the rounding of a transform that
had stars of 10^5 in it, and divided by what little is seen it would become light."""


def chebyshev_direction(
    likelihood: LikelihoodLike,
    x: Tensor,
    score: Tensor,
    iterations: int,
    damping: float | Tensor,
) -> Tensor:
    """Solve ``(s^2 A* W A + damping) d = s^2 score`` by a fixed polynomial of the system.

    The diagonal ``D = s^2 bound + damping`` majorises the system (sums of absolute values along its
    rows do, by Gershgorin), so that all eigenvalues of ``D^-1 (s^2 A* W A + damping)`` lie in
    (0, 1].
    What is smooth, and with it the flux, has eigenvalues near 1: the first step solves it, of the
    others the residual is ``(1 - z) T(z)`` with the Chebyshev polynomial of [`LOWEST`, 1]. No inner
    product is taken, so that unlike conjugate gradients (`rimaging.rim.newton`) this is a local
    filter, the same for all pixels of any image: a tile with its halo equals the whole, and a sky
    on another grid is the same sky.

    Args:
        likelihood: gives the curvature ``A* W A``.
        x: where the curvature is taken, ``(*batch, ..., y, x)``.
        score: the gradient of the log-likelihood there.
        iterations: the degree of the polynomial, at least 1; it takes one curvature less.
        damping: at least 0, one for all or one per pixel.

    Source: Saad, Iterative Methods for Sparse Linear Systems, 2003, algorithm 12.1.
    """
    variance = likelihood.noise_scale**2
    middle, half = (1 + LOWEST) / 2, (1 - LOWEST) / 2
    bound = variance * likelihood.bound(x)
    diagonal = bound.clamp_min(LEAST) + damping
    residual = variance * score
    direction = move = residual / diagonal
    ratio = 0.0
    for iteration in range(iterations - 1):
        residual = residual - variance * curvature(likelihood, x, move) - damping * move
        if iteration == 0:
            ratio = half / middle
            move = residual / diagonal / middle
        else:
            fresh = 1 / (2 * middle / half - ratio)
            move = fresh * (ratio * move + 2 / half * residual / diagonal)
            ratio = fresh
        direction = direction + move
    return direction
