"""Pixels that were not measured, for networks that never saw one missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from rimaging.datasets.measurement import Measurement
from rimaging.method import Method
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.sampling import Sampling

REACH = 6
"""Pixels over which a network that learned on scattered holes fills in from the known ones: best of
3 to 8 on blocks, rows and 95 % missing; at 80 % hardly a pixel lies beyond."""

ITERATIONS = 300
"""Of the smoothest image across wide holes, which 60 do not reach into."""


def with_wide_holes(method: Method) -> Method:
    """The method for `Sampling`, with the middle of wide holes from the smoothest image.

    A network that learned on scattered pixels leaves black what it cannot see across. What is
    farther than ``REACH`` from every known pixel counts to it as known; holes without such a middle
    are its own, and the residual is that of what was measured.
    """
    from rimaging.solvers.smooth_start import smooth_start

    def solve(piece: Measurement | None, likelihood: Gaussian) -> list[Tensor]:
        operator = likelihood.operator
        assert isinstance(operator, Sampling)
        known = operator.measured.expand(likelihood.y.shape) * likelihood.measured
        planes = known.reshape(-1, 1, *known.shape[-2:])
        near = max_pool2d(planes, 2 * REACH + 1, stride=1, padding=REACH)
        far = near.reshape(known.shape) == 0
        if not bool(far.any()):
            return method.solve(piece, likelihood)
        smooth = smooth_start(likelihood, ITERATIONS)
        scale = likelihood.noise_scale.expand(known.shape)
        precision = likelihood.precision.expand(known.shape)
        sigma = torch.where(known > 0, precision.rsqrt(), scale)
        data = torch.where(far, smooth, likelihood.y)
        seen = torch.where(far, 1.0, operator.mask * (known > 0))
        mask = Sampling(seen, len(operator.domain.shape))
        return method.solve(piece, Gaussian(mask, data, sigma))

    return replace(method, solve=solve)


def filled(method: Method, source: Measurement, build: Callable[[Measurement], Gaussian]) -> Method:
    """The method on images whose missing pixels are filled from their neighbours.

    A denoiser takes pixels without a score for black: it was trained with all of them measured.
    The smoothest image through the known pixels is near enough for it, as though measured; the
    residual is still that of the known ones.
    """
    from rimaging.solvers.smooth_start import smooth_start

    def solve(piece: Measurement | None, likelihood: Gaussian) -> list[Tensor]:
        measured = likelihood.measured.expand(likelihood.y.shape)
        if bool(measured.all()):
            return method.solve(piece, likelihood)
        data = torch.where(measured, likelihood.y, smooth_start(likelihood, ITERATIONS))
        seen = source if piece is None else piece
        noise = seen.noise
        if isinstance(noise, Tensor) and noise.ndim:  # which may be anything where none was
            noise = noise.expand(data.shape).to(data.device)
            noise = torch.where(measured, noise, noise[measured].median())
        whole = build(replace(seen, data=data, noise=noise, mask=None)).to(data.device)
        return method.solve(piece, whole)

    return replace(method, solve=solve)
