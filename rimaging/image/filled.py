"""Pixels that were not measured, for networks that never saw one missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.method import Method
from rimaging.operators.gaussian import Gaussian


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
        data = torch.where(measured, likelihood.y, smooth_start(likelihood))
        seen = source if piece is None else piece
        noise = seen.noise
        if isinstance(noise, Tensor) and noise.ndim:  # which may be anything where none was
            noise = noise.expand(data.shape).to(data.device)
            noise = torch.where(measured, noise, noise[measured].median())
        whole = build(replace(seen, data=data, noise=noise, mask=None)).to(data.device)
        return method.solve(piece, whole)

    return replace(method, solve=solve)
