"""A simulated scan as a user has it: maps from its own calibration region, perhaps a folded head.

Simulation with perfect maps and a noiseless truth is too kind: a network trained on it trusts the
model too much. Here the coil images are sampled with their noise, the maps are estimated from what
was sampled, and the truth is what a full scan of the same noise shows through these maps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rimaging.datasets.simulate.distributions import integer
from rimaging.errors import DataError
from rimaging.operators.calibration import calibration_shape
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.espirit import espirit
from rimaging.operators.fourier import Fourier
from rimaging.operators.gaussian import Gaussian

KERNEL = 6
"""Side of the ESPIRiT kernels."""

CALIBRATION = 24
NARROWEST = 10
"""Least width of a calibration region: from fewer samples no maps come that deserve the name."""

COVERED = 0.1
"""Least share of the pixels that maps must cover."""

CROPS = (0.5, 0.8, 0.9, 0.95)
"""Eigenvalues below which maps end, as people choose them."""


def fold(coil_images: Tensor, size: int) -> Tensor:
    """Coil images ``(coil, N, N)`` in a field of view of ``size`` pixels that is too narrow in x.

    Rows are cut to the middle ``size``; what lies outside in x comes in on the other side.
    """
    wide = coil_images.shape[-1]
    first = wide // 2 - size // 2  # the pixel that becomes column 0
    rows = coil_images[..., first : first + size, :]
    folded = rows.new_zeros(*rows.shape[:-1], size)
    index = (torch.arange(wide) - first) % size
    folded.index_add_(-1, index, rows)
    return folded


def measure(
    coil_images: Tensor,
    mask: Tensor,
    sigma: Tensor,
    sets: int,
    stated: Tensor,
    generator: torch.Generator,
) -> tuple[Gaussian, Tensor]:
    """Scan ``coil_images`` and estimate the maps: the likelihood of the scan, and its truth.

        y = mask (F c + n),   truth = sum_c conj(S'_c) c_c,   S' from y by ESPIRiT

    Args:
        coil_images: ``c``, noiseless, ``(batch, coil, y, x)``.
        mask: ``(batch, y, x)``; its middle `has_middle`.
        sigma: of the noise, ``(batch, 1, 1, 1)``. stated: what the likelihood is told of it.
        sets: of maps, 1 or 2; the truth is ``(batch, [2,] y, x)``.
        generator: decides the noise, and where maps end.

    The truth is the object, without the noise that a full scan has: a network that is taught such
    noise leaves some in wherever it is (docs/training.md).

    Raises:
        DataError: maps that cover next to nothing, as noise or a narrow middle of k-space give.
    """
    fourier = Fourier((coil_images.shape[-2], coil_images.shape[-1]))
    noise = torch.view_as_complex(torch.randn(*coil_images.shape, 2, generator=generator))
    weight = mask[:, None].to(sigma.dtype)
    y = weight * (fourier(coil_images) + sigma * noise)
    crop = CROPS[integer(0, len(CROPS) - 1, generator)]
    maps = espirit(y, mask, calibration=CALIBRATION, kernel=KERNEL, sets=sets, crop=crop)
    covered = (maps != 0).flatten(-3 - (sets > 1), -3).any(dim=1).float().mean(dim=(-2, -1))
    if bool((covered < COVERED).any()):
        raise DataError("maps cover next to nothing: draw another scan")
    seen = coil_images[:, None] if sets > 1 else coil_images
    truth = (maps.conj() * seen).sum(dim=-3)
    return Gaussian(CartesianMRI(maps, mask, sets=sets > 1), y, stated, weight), truth


def has_middle(mask: Tensor) -> bool:
    """Whether maps can be estimated from the middle of ``mask (y, x)``."""
    return min(calibration_shape(mask, CALIBRATION)) >= NARROWEST


def folded_side(size: int, generator: torch.Generator) -> int:
    """Side of an object that a field of view of ``size`` shows folded: 5 to 40 % more."""
    return math.ceil(size * (1.05 + 0.35 * float(torch.rand(1, generator=generator))))
