"""Smooth random fields: the phase of MR images and the errors of coil maps."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor


def grid(size: int) -> tuple[Tensor, Tensor]:
    """Coordinates y (size, 1) and x (1, size) from -1 to 1."""
    line = torch.linspace(-1, 1, size)
    return line[:, None], line[None, :]


def gaussian_field(generator: torch.Generator, count: int, size: int, coarseness: int) -> Tensor:
    """Smooth Gaussian fields (count, size, size) of zero mean and standard deviation near one.

    White noise on ``coarseness`` x ``coarseness`` knots, interpolated by cubics.
    """
    knots = torch.randn(count, 1, coarseness, coarseness, generator=generator)
    field = functional.interpolate(knots, (size, size), mode="bicubic", align_corners=True)
    return field[:, 0]


def polynomial(generator: torch.Generator, size: int, order: int) -> Tensor:
    """A random polynomial (size, size) of total degree <= order in y and x, from -1 to 1.

    Every coefficient is standard normal, divided by 1 + its degree.
    """
    y, x = grid(size)
    field = torch.zeros(size, size)
    for i in range(order + 1):
        for j in range(order + 1 - i):
            coefficient = torch.randn((), generator=generator) / (1 + i + j)
            field += coefficient * y**i * x**j
    return field


def smooth_phase(generator: torch.Generator, size: int) -> Tensor:
    """A random image phase in radians (size, size), as field inhomogeneity and flow make it.

    phi = phi_0 + a p(y, x) + b g(y, x) with a polynomial p of degree 3 and a smooth Gaussian
    field g; one in eight is strong (several turns over the image).
    """
    uniform = torch.rand(4, generator=generator).tolist()
    strength = 4.0 if uniform[0] < 0.125 else 1.0
    coarseness = 3 + int(6 * uniform[3])
    field = gaussian_field(generator, 1, size, coarseness)[0]
    phase: Tensor = (
        2 * torch.pi * uniform[1]
        + strength * 1.5 * polynomial(generator, size, 3)
        + strength * 0.6 * uniform[2] * field
    )
    return phase
