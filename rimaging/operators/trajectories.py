"""Trajectories through k-space, in cycles per field of view, ``(shot, sample, axis)``.

Coordinates are ``(ky, kx)``, in three dimensions ``(kz, ky, kx)``; along an axis of ``n`` pixels
they lie in ``-n/2 .. n/2``. An image that is not square has the same pixel size along both axes and
another field of view, so that a circle in k-space is an ellipse in these units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from rimaging.errors import OptionError, ShapeError

__all__ = ["Angles", "cartesian", "radial", "random", "spiral", "stack_of_stars"]

Angles = Literal["uniform", "golden", "tiny-golden"]

GOLDEN = (1 + math.sqrt(5)) / 2
TINY = 7
"""Which of the tiny golden angles: ``pi / (golden + 6)``, 23.6 degrees."""


def radial(
    shape: Sequence[int],
    spokes: int,
    samples: int | None = None,
    *,
    angles: Angles = "uniform",
    first: int = 0,
) -> Tensor:
    """Full spokes through the middle: ``k = n t (sin a, cos a)``, ``t = -1/2 ... 1/2 - 1/samples``.

    Args:
        shape: ``(y, x)``.
        spokes: how many, each of ``samples``; by default twice the longer axis (a readout
            oversampled by two). The middle is sample ``samples // 2``.
        angles: ``a_s = pi s / spokes``; ``"golden"``: ``pi s / 1.618`` (111.25 degrees);
            ``"tiny-golden"``: ``pi s / 7.618`` (23.63 degrees). With the golden angles any
            number of consecutive spokes covers k-space nearly evenly.
        first: number ``s`` of the first spoke, for frames of a golden-angle series.

    Raises ShapeError for a shape that is not of two axes, OptionError for numbers below one.

    Source: Winkelmann et al. (2007), IEEE Trans. Med. Imaging 26, 68; Wundrak et al. (2015), IEEE
    Trans. Med. Imaging 34, 1262 (tiny golden angles).
    """
    y, x = _sizes(shape, 2)
    samples = 2 * max(y, x) if samples is None else samples
    _check_counts(spokes=spokes, samples=samples)
    if angles not in get_args(Angles):
        raise OptionError(f"angles {angles!r} do not exist: choose {', '.join(get_args(Angles))}")
    number = torch.arange(first, first + spokes, dtype=torch.float64)
    step = {
        "uniform": math.pi / spokes,
        "golden": math.pi / GOLDEN,
        "tiny-golden": math.pi / (GOLDEN + TINY - 1),
    }[angles]
    angle = (number * step)[:, None]
    t = (torch.arange(samples, dtype=torch.float64) - samples // 2) / samples
    return torch.stack((y * t * angle.sin(), x * t * angle.cos()), dim=-1)


def spiral(
    shape: Sequence[int],
    interleaves: int,
    samples: int | None = None,
    *,
    turns: float | None = None,
) -> Tensor:
    """Archimedean spirals of constant speed: ``k = n/2 r (sin a, cos a)``, ``a = 2 pi turns r``.

    Samples are equally far apart along an arm. By default neighbouring arms are one cycle apart
    along a radius (Nyquist), and so are the samples.

    Raises ShapeError for a shape that is not of two axes, OptionError for numbers below one.
    """
    y, x = _sizes(shape, 2)
    longest = max(y, x)
    _check_counts(interleaves=interleaves)
    turns = longest / (2 * interleaves) if turns is None else turns
    if not turns > 0:
        raise OptionError(f"a spiral of {turns} turns does not exist: give turns > 0")
    rate = 2 * math.pi * turns
    fine = torch.linspace(0, 1, 4096, dtype=torch.float64)
    length = (fine * (1 + (rate * fine).square()).sqrt() + torch.asinh(rate * fine) / rate) / 2
    if samples is None:
        samples = 1 + math.ceil(float(length[-1]) * longest / 2)
    _check_counts(samples=samples)
    # radii at equal arc lengths, by linear interpolation of the inverse
    wanted = torch.linspace(0, float(length[-1]), samples, dtype=torch.float64)
    after = torch.searchsorted(length, wanted).clamp(1, len(fine) - 1)
    share = (wanted - length[after - 1]) / (length[after] - length[after - 1])
    radius = (fine[after - 1] + share * (fine[after] - fine[after - 1])).clamp(0, 1)
    arm = torch.arange(interleaves, dtype=torch.float64)[:, None] / interleaves
    angle = rate * radius + 2 * math.pi * arm
    return torch.stack((y / 2 * radius * angle.sin(), x / 2 * radius * angle.cos()), dim=-1)


def stack_of_stars(
    shape: Sequence[int],
    spokes: int,
    samples: int | None = None,
    *,
    angles: Angles = "uniform",
    first: int = 0,
) -> Tensor:
    """Radial in ``(ky, kx)``, Cartesian along ``kz``: ``(z * spokes, samples, 3)``, by planes.

    Args and errors as `radial`, for a shape ``(z, y, x)``; every plane has the same angles.
    """
    z, y, x = _sizes(shape, 3)
    plane = radial((y, x), spokes, samples, angles=angles, first=first)
    height = torch.arange(z, dtype=torch.float64) - z // 2
    kz = height[:, None, None, None].expand(-1, *plane.shape[:2], 1)
    whole: Tensor = torch.cat((kz, plane.expand(z, *plane.shape)), dim=-1)
    return whole.flatten(0, 1)


def random(shape: Sequence[int], samples: int, seed: int = 0) -> Tensor:
    """Uniformly random over all of k-space, ``(1, samples, 2|3)``, a function of the seed.

    Raises ShapeError for a shape of other than two or three axes, OptionError without samples.
    """
    sizes = _sizes(shape, len(shape) if len(shape) == 3 else 2)
    _check_counts(samples=samples)
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand((1, samples, len(sizes)), generator=generator, dtype=torch.float64) - 0.5
    return draws * torch.tensor(sizes, dtype=torch.float64)


def cartesian(shape: Sequence[int]) -> Tensor:
    """The full grid by lines, ``(y, x, 2)`` or ``(z * y, x, 3)``: the NUFFT is the FFT there.

    Raises ShapeError for a shape of other than two or three axes.
    """
    sizes = _sizes(shape, len(shape) if len(shape) == 3 else 2)
    axes = [torch.arange(n, dtype=torch.float64) - n // 2 for n in sizes]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    return grid.reshape(-1, *grid.shape[-2:])


def _sizes(shape: Sequence[int], axes: int) -> tuple[int, ...]:
    if len(shape) != axes or any(n < 1 for n in shape):
        raise ShapeError(
            f"this trajectory is for images of {axes} axes, got the shape {tuple(shape)}: "
            "give their sizes, without batch and coils"
        )
    return tuple(shape)


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise OptionError(f"a trajectory of {count} {name} does not exist: give 1 or more")
