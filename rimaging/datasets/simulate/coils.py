"""Receive coils: random smooth sensitivity maps, normalised as ESPIRiT's are."""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.datasets.simulate.phase import gaussian_field, grid


def coil_profiles(generator: torch.Generator, coils: int, size: int) -> Tensor:
    """Raw receive profiles (coils, y, x), complex64, of loops around the field of view.

    Each loop is a magnetic dipole m at p, softened by its radius a: by reciprocity its
    sensitivity is B_x - i B_y of B = (3 (m.r) r - m r^2) / (r^2 + a^2)^(5/2), r from the coil to
    the pixel. Coils stand at irregular angles on an ellipse of 1.1 to 1.9 half fields of view,
    up to half a field out of the plane, and look at the middle, with a random phase and gain.

    Source: Roemer et al., MRM 16:192 (1990).
    """
    u = torch.rand(6, coils, generator=generator)
    common = torch.rand(4, generator=generator)
    angle = 2 * torch.pi * (common[0] + (torch.arange(coils) + 0.5 * (u[0] - 0.5)) / coils)
    distance = 1.1 + 0.6 * common[1] + 0.2 * u[1]
    squeeze = 0.8 + 0.2 * common[2]
    px, py = distance * angle.cos(), squeeze * distance * angle.sin()
    pz = 0.6 * (u[2] - 0.5)
    softness = (0.4 + 0.5 * common[3] + 0.2 * u[3]) ** 2
    length = torch.sqrt(px**2 + py**2 + pz**2)
    tilt = 0.4 * (u[4] - 0.5)
    mx, my, mz = -px / length + tilt * py, -py / length - tilt * px, -pz / length

    y, x = grid(size)
    rx = x - px[:, None, None]
    ry = y - py[:, None, None]
    rz = -pz[:, None, None]
    square = rx**2 + ry**2 + rz**2
    along = mx[:, None, None] * rx + my[:, None, None] * ry + mz[:, None, None] * rz
    fall = (square + softness[:, None, None]) ** -2.5
    b_x = (3 * along * rx - mx[:, None, None] * square) * fall
    b_y = (3 * along * ry - my[:, None, None] * square) * fall
    gain = torch.polar(0.7 + 0.6 * torch.rand(coils, generator=generator), 2 * torch.pi * u[5])
    return gain[:, None, None] * torch.complex(b_x, -b_y)


def normalise(profiles: Tensor) -> tuple[Tensor, Tensor]:
    """Split profiles C (..., coil, y, x) into S = C / R with sum |S|^2 = 1, and R (..., y, x)."""
    # Much faster than vector_norm, which is slow along a strided axis of complex numbers.
    power = profiles.real.square() + profiles.imag.square()
    root = power.sum(dim=-3, keepdim=True).sqrt().clamp_min(1e-12)
    return profiles / root, root.squeeze(-3)


def refer_to_first(maps: Tensor) -> Tensor:
    """Turn the phase of every pixel so that the first coil is real, a convention of ESPIRiT."""
    first = maps[..., :1, :, :]
    return maps * torch.exp(-1j * first.angle())


def perturb(maps: Tensor, generator: torch.Generator, level: float) -> Tensor:
    """Maps with smooth relative errors of this level, normalised again.

    S + level e / sqrt(coils) with smooth complex Gaussian e of unit variance: what an
    estimate from a small, noisy calibration region gets wrong.
    """
    coils, size = maps.shape[0], maps.shape[-1]
    error = gaussian_field(generator, 2 * coils, size, 8).reshape(2, coils, size, size)
    wrong = maps + level / coils**0.5 * torch.complex(error[0], error[1])
    return normalise(wrong)[0]
