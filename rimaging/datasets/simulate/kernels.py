"""Blur kernels of cameras: anisotropic Gaussians, and the simulated shake of a hand."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rimaging.datasets.simulate.distributions import Parameter, draw_name, draw_one
from rimaging.errors import CardError

MOMENTS = 256
"""Points of a trajectory: many more than pixels of any kernel."""


def blur_kernels(
    parameter: Parameter, width: Parameter, generator: torch.Generator, count: int, side: int
) -> Tensor:
    """Draw ``count`` kernels ``(count, side, side)`` of sum 1 from a card's words.

    Args:
        parameter: ``"gaussian"`` or ``"motion"``, drawn for each kernel.
        width: standard deviation in pixels of the Gaussians.
        generator: decides everything.
        count: how many.
        side: odd.

    Raises:
        CardError: a word that is neither.
    """
    kernels = []
    for _ in range(count):
        word = draw_name(parameter, generator)
        if word == "gaussian":
            kernels.append(gaussian(width, generator, side))
        elif word == "motion":
            kernels.append(camera_shake(generator, side))
        else:
            raise CardError(f"there is no kernel {word!r}: choose gaussian or motion")
    return torch.stack(kernels)


def gaussian(width: Parameter, generator: torch.Generator, side: int) -> Tensor:
    """An anisotropic Gaussian ``(side, side)``, turned by any angle."""
    angle = math.pi * float(torch.rand(1, generator=generator))
    along, across = draw_one(width, generator), draw_one(width, generator)
    offset = torch.arange(side) - side // 2
    y, x = offset[:, None], offset[None, :]
    u = math.cos(angle) * x + math.sin(angle) * y
    v = math.cos(angle) * y - math.sin(angle) * x
    kernel = torch.exp(-0.5 * ((u / along) ** 2 + (v / across) ** 2))
    return kernel / kernel.sum()


def camera_shake(generator: torch.Generator, side: int) -> Tensor:
    """The trace ``(side, side)`` of a hand-held camera: a smooth walk with a few jerks.

    The hand's velocity is a random walk with drag, kicked now and then; light is gathered evenly
    in time along its path, which is scaled to between a quarter and the whole of the kernel.

    Source: the model of Boracchi & Foi, IEEE TIP 21, 3502 (2012), section III, in outline.
    """
    push = torch.randn(MOMENTS, 2, generator=generator)
    kicks = torch.rand(MOMENTS, 1, generator=generator) < 4 / MOMENTS
    push = push + 12 * kicks * torch.randn(MOMENTS, 2, generator=generator)
    drag = 0.9 + 0.09 * float(torch.rand(1, generator=generator))
    velocity, path = [0.0, 0.0], []
    for y, x in push.tolist():
        velocity = [drag * velocity[0] + y, drag * velocity[1] + x]
        path.append(velocity)
    trace = torch.tensor(path).cumsum(0)
    trace = trace - 0.5 * (trace.amax(0) + trace.amin(0))
    extent = (0.25 + 0.75 * float(torch.rand(1, generator=generator))) * (side - 3)
    trace = trace * (extent / 2 / trace.abs().max().clamp_min(1e-6)) + side // 2
    blur = 0.35 + 0.4 * float(torch.rand(1, generator=generator))
    grid = torch.arange(side)
    rows, columns = (
        torch.exp(-0.5 * ((grid - trace[:, axis, None]) / blur) ** 2) for axis in (0, 1)
    )
    kernel = rows.mT @ columns
    return kernel / kernel.sum()
