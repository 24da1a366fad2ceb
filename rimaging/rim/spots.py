"""The shape of the brightest spot of an image, as a loss: for those who measure shapes.

The image of least squared error is a mean over all that the noise allows, and so it is rounder than
any of them: galaxies at low signal to noise lose half of their ellipticity. A loss on the shape
itself makes up for it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

REACH = 20
"""Pixels around the brightest one that are looked at."""

ROUNDS = 25
FIRST_WIDTH = 2.5
LEAST_WIDTH, GREATEST_WIDTH = 0.6, 9.0
SOFT = 0.01
"""Errors of shapes below it count by their square, larger ones by their size."""


class Spots(NamedTuple):
    """The brightest spot of each image.

    top, left: ``(n,)`` of the window. weight: ``(n, side, side)``, the Gaussian that matches it.
    dx, dy: ``(n, 1, side)`` and ``(n, side, 1)``, from its centre. light: its second moment, times
    its flux. shape: ``(n, 2)``, see `shape_error`. found: whether there is one that has a shape.
    """

    top: Tensor
    left: Tensor
    weight: Tensor
    dx: Tensor
    dy: Tensor
    light: Tensor
    shape: Tensor
    found: Tensor


def brightest_spots(truth: Tensor) -> Spots:
    """Of images ``(n, y, x)`` of at least `REACH` pixels twice: adaptive moments by iteration.

    Source: Bernstein & Jarvis, AJ 123, 583 (2002).
    """
    side = 2 * REACH + 1
    rows, columns = truth.shape[-2:]
    smooth = F.avg_pool2d(truth[:, None], 5, stride=1, padding=2)[:, 0]
    place = smooth.flatten(1).argmax(dim=1)
    top = (place // columns - REACH).clamp(0, rows - side)
    left = (place % columns - REACH).clamp(0, columns - side)
    cut = windows(truth, top, left)
    line = torch.arange(side, dtype=truth.dtype, device=truth.device)
    x = (place % columns - left).to(truth.dtype)
    y = (place // columns - top).to(truth.dtype)
    xx = yy = torch.full_like(x, FIRST_WIDTH**2)
    xy = torch.zeros_like(x)
    low, high = LEAST_WIDTH**2, GREATEST_WIDTH**2
    for _ in range(ROUNDS):
        weight, dx, dy = _gaussian(line, x, y, xx, yy, xy)
        seen = (weight * cut).clamp_min(0)
        light = seen.sum(dim=(-2, -1)).clamp_min(torch.finfo(truth.dtype).tiny)
        x = x + 2 * (seen * dx).sum(dim=(-2, -1)) / light
        y = y + 2 * (seen * dy).sum(dim=(-2, -1)) / light
        moments = ((seen * a).sum(dim=(-2, -1)) / light for a in (dx * dx, dy * dy, dx * dy))
        # a weighted second moment is half of that of a Gaussian that the weight matches
        xx, yy, xy = (2 * moment for moment in moments)
        xx, yy = xx.clamp(low, high), yy.clamp(low, high)
        xy = torch.maximum(torch.minimum(xy, 0.95 * (xx * yy).sqrt()), -0.95 * (xx * yy).sqrt())
    weight, dx, dy = _gaussian(line, x, y, xx, yy, xy)
    seen = weight * cut
    light = (seen * (dx**2 + dy**2)).sum(dim=(-2, -1))
    inside = ((x - REACH).abs() < REACH / 2) & ((y - REACH).abs() < REACH / 2)
    found = inside & (light > 0) & (xx < 0.9 * high) & (yy < 0.9 * high)
    shape = _ellipticity(cut, weight, dx, dy, light)
    return Spots(top, left, weight, dx, dy, light, shape, found)


def shape_error(image: Tensor, spots: Spots) -> Tensor:
    """``sqrt(|e - e_true|^2 + SOFT^2) - SOFT`` of each image ``(n, y, x)``; 0 where no spot is.

    ``e = (Q_xx - Q_yy, 2 Q_xy) / (Q_xx + Q_yy)``, second moments under the weight of the truth.
    """
    cut = windows(image, spots.top, spots.left)
    found = _ellipticity(cut, spots.weight, spots.dx, spots.dy, spots.light)
    error = ((found - spots.shape).square().sum(dim=-1) + SOFT**2).sqrt() - SOFT
    return torch.where(spots.found, error, 0)


def windows(images: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """``(n, side, side)``, one window of each image."""
    line = torch.arange(2 * REACH + 1, device=images.device)
    item = torch.arange(len(images), device=images.device)[:, None, None]
    rows, columns = (top[:, None] + line)[:, :, None], (left[:, None] + line)[:, None, :]
    return images[item, rows, columns]


def _gaussian(
    line: Tensor, x: Tensor, y: Tensor, xx: Tensor, yy: Tensor, xy: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    dx, dy = line[None, None, :] - x[:, None, None], line[None, :, None] - y[:, None, None]
    determinant = (xx * yy - xy**2)[:, None, None]
    xx, yy, xy = (m[:, None, None] for m in (xx, yy, xy))
    square = (yy * dx**2 + xx * dy**2 - 2 * xy * dx * dy) / determinant
    return torch.exp(-square / 2), dx, dy


def _ellipticity(cut: Tensor, weight: Tensor, dx: Tensor, dy: Tensor, light: Tensor) -> Tensor:
    """Of an estimate that is nearly dark the size of the truth serves: shapes stay finite."""
    seen = weight * cut
    xx, yy, xy = ((seen * a).sum(dim=(-2, -1)) for a in (dx * dx, dy * dy, dx * dy))
    size = torch.maximum(xx + yy, 0.25 * light.abs() + torch.finfo(cut.dtype).tiny)
    return torch.stack([(xx - yy) / size, 2 * xy / size], dim=-1)
