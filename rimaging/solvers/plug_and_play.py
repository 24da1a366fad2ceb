"""Plug-and-play half-quadratic splitting: any linear operator with a denoiser as the prior."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.linear_operator import LinearOperator
from rimaging.solvers.cg import cg
from rimaging.solvers.smooth_start import smooth_start

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""``denoise(x, sigma)``: images ``(*batch, y, x)`` with white noise of ``(*batch, 1, 1)``."""

FIRST = 49 / 255
"""Noise level of the first denoising, relative to the span of the image."""


def plug_and_play(
    likelihood: Gaussian,
    denoise: Denoiser,
    *,
    span: float | Tensor,
    last: float | Tensor = 0.0,
    steps: int = 8,
    start: Tensor | None = None,
    first: float = FIRST,
    lamda: float = 0.23,
    iterations: int = 30,
) -> list[Tensor]:
    """Restore by turns: fit the data near the last estimate, then denoise, less at each turn.

        x_k = argmin_x 1/2 |y - A x|^2_W + lambda / (2 s_k^2) |x - z_(k-1)|^2,   z_k = D(x_k, s_k)

    The levels ``s_k`` fall geometrically from ``first``, a part of the span, to the noise of the
    data. The first ``z`` is ``start``, by default the smoothest image that explains the data
    (`smooth_start`). ``y`` is what `Gaussian.imputed` says of ``z_(k-1)``, so that clipped noise
    counts as it does in its likelihood. The data step is solved by conjugate gradients, so that any
    linear operator serves.

    Args:
        likelihood: of real images; ``W`` is its precision.
        denoise: takes white Gaussian noise of any level away.
        span: of the image, white minus black; one number, or one per item against ``x``.
        last: level of the last denoising where that is above the noise, as it should be for nearly
            noise-free data of an operator that loses much.
        steps: turns; 8 for blur, more where the operator loses more.
        start: an estimate to begin from; the better it is, the lower ``first`` may be, and the
            fewer turns are needed.
        first: level of the first denoising, as a part of the span.
        lamda: weight of the prior, 0.19 to 0.55.
        iterations: the most conjugate-gradient steps in each turn.

    Returns:
        ``z_1, ..., z_K``, the last of which is the answer.

    Raises:
        OptionError: fewer than one step, or lambda not above zero.
        DataError: complex images, noise correlated between coils, a span that is not above zero.

    Source: Zhang et al., Plug-and-Play Image Restoration with Deep Denoiser Prior, IEEE TPAMI 2021
    (DPIR), algorithm 1 and its parameters.
    """
    if steps < 1 or not lamda > 0:
        raise OptionError(f"plug_and_play got {steps=}, {lamda=}: give steps >= 1 and lamda > 0")
    operator = likelihood.operator
    if operator.domain.is_complex or likelihood.whitener is not None:
        raise DataError("plug_and_play restores real images: use rimaging.mri for complex ones")
    if not isinstance(operator, LinearOperator):
        raise DataError("plug_and_play needs a linear operator: use iterative_map, or a RIM")
    noise = likelihood.noise_scale
    span = torch.as_tensor(span, dtype=noise.dtype, device=noise.device)
    if not bool((torch.isfinite(span) & (span > 0)).all()):
        raise DataError(
            "the image has one value everywhere: there is no span to restore within; give span="
        )
    final = torch.maximum(torch.as_tensor(last, dtype=noise.dtype, device=noise.device), noise)
    highest = torch.maximum(first * span, final)

    def fit(level: Tensor, near: Tensor) -> Tensor:
        damping = lamda / level**2
        seen = likelihood.imputed(near)
        right = operator.adjoint(likelihood.precision * seen) + damping * near
        return cg(
            operator,
            right,
            damping=damping,
            weight=likelihood.precision,
            x0=near,
            iterations=iterations,
            tolerance=1e-4,
        ).x

    z = smooth_start(likelihood) if start is None else start
    estimates = []
    for step in range(steps):
        level = highest * (final / highest) ** (step / max(steps - 1, 1))
        z = denoise(fit(level, z), level)
        estimates.append(z)
    return estimates
