"""What one more star does to an estimate, as a loss: for those who measure fluxes.

The estimate of least squared error shares light out between neighbours by what is likely, so that a
star takes some from, or leaves some to, what lies around it. In pairs of the same sky with the same
noise, of which the second has a star more, all else drops out of the difference of the estimates.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

RADII = (2.5, 4.0, 7.0)
"""Of the apertures, in pixels: those of a target PSF of two pixels, and what a star takes from."""

SOFT = 0.01
"""Errors of flux below this share of it count by their square, larger ones by their size."""


def in_pairs(truth: Tensor, axes: int) -> bool:
    """Whether a batch of images of so many axes comes in pairs, ``(2, n, ...)``."""
    return truth.ndim == axes + 2 and len(truth) == 2


def gained(estimate: Tensor, truth: Tensor, radii: Sequence[float]) -> Tensor:
    """``sum_r d / sum_r d_true``: the share of its flux that an estimate gains by one star more.

    ``d`` is the second image of each pair less the first, and ``sum_r`` goes over the pixels within
    ``r`` of the brightest one of ``d_true``.

    Args:
        estimate, truth: ``(2, n, y, x)``, in the same units.
        radii: in pixels.

    Returns:
        ``(n, radius)``, 1 where all of it came.
    """
    star, more = truth[1] - truth[0], estimate[1] - estimate[0]
    rows, columns = star.shape[-2:]
    place = star.flatten(1).argmax(dim=1)
    dy = torch.arange(rows, device=star.device) - (place // columns)[:, None]
    dx = torch.arange(columns, device=star.device) - (place % columns)[:, None]
    square = dy[:, :, None] ** 2 + dx[:, None, :] ** 2
    discs = [square <= radius**2 for radius in radii]
    shares = [(d * more).sum(dim=(-2, -1)) / (d * star).sum(dim=(-2, -1)) for d in discs]
    return torch.stack(shares, dim=1)


def response_error(estimate: Tensor, truth: Tensor) -> Tensor:
    """``mean_r sqrt(e_r^2 + SOFT^2) - SOFT`` with ``e_r = gained - 1`` within each of `RADII`.

    Args:
        estimate, truth: ``(2, n, y, x)``, in the same units.

    Returns:
        ``(n,)``.
    """
    error = gained(estimate, truth, RADII) - 1
    return ((error.square() + SOFT**2).sqrt() - SOFT).mean(dim=1)
