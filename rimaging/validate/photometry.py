"""Fluxes, positions and shapes at known places of an image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rimaging.reports.galaxies import Moments, adaptive_moments

SUBPIXELS = 8
GAUSSIAN = 2 * math.sqrt(2 * math.log(2))
"""FWHM of a Gaussian over its sigma."""


def windows(image: Tensor, x: Tensor, y: Tensor, half: int) -> Tensor:
    """Cut ``(n, 2 half + 1, 2 half + 1)`` around the pixels next to ``x, y``; zeros outside."""
    padded = torch.nn.functional.pad(image, (half, half, half, half))
    span = torch.arange(2 * half + 1)
    rows = y.round().long()[:, None] + span
    columns = x.round().long()[:, None] + span
    return padded[rows[:, :, None], columns[:, None, :]]


def apertures(image: Tensor, x: Tensor, y: Tensor, radius: float) -> Tensor:
    """Sum within ``radius`` pixels of each ``x, y``, ``(n,)``; edge pixels by their fraction."""
    half = math.ceil(radius) + 1
    span = torch.arange(-half, half + 1, dtype=torch.float64)
    fine = ((torch.arange(SUBPIXELS) + 0.5) / SUBPIXELS - 0.5).double()
    dy = span[None, :, None] + fine - (y - y.round()).double()[:, None, None]
    dx = span[None, :, None] + fine - (x - x.round()).double()[:, None, None]
    inside = dy[:, :, None, :, None] ** 2 + dx[:, None, :, None, :] ** 2 <= radius**2
    share = inside.double().mean(dim=(-2, -1))
    return (windows(image, x, y, half).double() * share).sum(dim=(-2, -1))


def moments(image: Tensor, x: Tensor, y: Tensor, half: int, fwhm: float) -> Moments:
    """Adaptive moments in windows around each ``x, y``; positions relative to the window."""
    cut = windows(image, x, y, half)
    return adaptive_moments(cut, sigma=fwhm / GAUSSIAN, steps=100, tolerance=1e-6)


def median(values: Tensor) -> float:
    """The median of what is finite; NaN of nothing."""
    kept = values[torch.isfinite(values)]
    return float(kept.double().quantile(0.5)) if len(kept) else math.nan


def mean(values: Tensor) -> float:
    """The mean of what is finite; NaN of nothing."""
    kept = values[torch.isfinite(values)]
    return float(kept.double().mean()) if len(kept) else math.nan
