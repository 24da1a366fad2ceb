"""Sampling masks of Cartesian MRI: what of k-space a scan measures, DC in the middle.

Masks are bool; one-dimensional ones have the shape (size,) of the phase-encoding axis.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.simulate.fastmri_masks import FastMRIKind, fastmri_mask
from rimaging.errors import OptionError

__all__ = [
    "FastMRIKind",
    "centre_slice",
    "equispaced",
    "fastmri_mask",
    "gaussian_lines",
    "gaussian_points",
    "poisson_disc",
    "pooled_poisson_disc",
    "radial",
    "radius",
    "random_lines",
    "random_points",
]

GOLDEN_ANGLE = 111.24611797498107  # degrees: 180 over the golden ratio


def centre_slice(size: int, width: int) -> slice:
    """The ``width`` samples around DC (index ``size // 2``)."""
    start = size // 2 - width // 2
    return slice(start, start + width)


def equispaced(size: int, spacing: int, calibration: int, offset: int = 0) -> Tensor:
    """Every ``spacing``-th line, starting at ``offset``, and ``calibration`` lines around DC.

    The net acceleration is below ``spacing`` because the calibration lines come on top.
    """
    mask = torch.zeros(size, dtype=torch.bool)
    mask[offset % spacing :: spacing] = True
    mask[centre_slice(size, calibration)] = True
    return mask


def random_lines(
    size: int,
    acceleration: float,
    calibration: int,
    generator: torch.Generator,
    decay: float = 0.0,
) -> Tensor:
    """``round(size / acceleration)`` random lines, of which ``calibration`` lie around DC.

    The density of the others is ``(1 - |k|/k_max)^decay``: 0 is uniform.
    Raises OptionError if the calibration lines alone are more than the budget.
    """
    budget = round(size / acceleration)
    distance = (torch.arange(size) - size // 2).abs() / (size / 2)
    return _draw(_power(distance, decay), budget, (calibration,), generator)


def gaussian_lines(
    size: int, acceleration: float, calibration: int, generator: torch.Generator, width: float = 0.3
) -> Tensor:
    """``round(size / acceleration)`` lines of density ``exp(-1/2 (|k| / (width k_max))^2)``.

    ``calibration`` of them lie around DC. Raises OptionError as `random_lines`.
    """
    distance = (torch.arange(size) - size // 2).abs() / (size / 2)
    budget = round(size / acceleration)
    return _draw(_normal(distance, width), budget, (calibration,), generator)


def random_points(
    shape: tuple[int, int],
    acceleration: float,
    calibration: int,
    generator: torch.Generator,
    decay: float = 0.0,
) -> Tensor:
    """``round(y x / acceleration)`` random points, with a square block around DC.

    Of density ``(1 - |k|/k_max)^decay`` outside the block. Raises OptionError as above.
    """
    budget = round(shape[0] * shape[1] / acceleration)
    block = (calibration, calibration)
    return _draw(_power(radius(shape), decay), budget, block, generator)


def gaussian_points(
    shape: tuple[int, int],
    acceleration: float,
    calibration: int,
    generator: torch.Generator,
    width: float = 0.3,
) -> Tensor:
    """``round(y x / acceleration)`` points of density ``exp(-1/2 (|k| / width)^2)``.

    ``|k|`` is 1 in the corners; a square block lies around DC. Raises OptionError as above.
    """
    budget = round(shape[0] * shape[1] / acceleration)
    block = (calibration, calibration)
    return _draw(_normal(radius(shape), width), budget, block, generator)


def radial(
    shape: tuple[int, int], spokes: int, calibration: int = 0, angle: float | None = None
) -> Tensor:
    """Spokes through DC, rounded to the grid: an ellipse that touches the edges is covered.

    Each spoke is ``angle`` degrees from the one before; by default ``180 / spokes``, all directions
    evenly; `GOLDEN_ANGLE` for any number of spokes about evenly. ``calibration``: side of a square
    block around DC. Raises OptionError for no spoke.
    """
    if spokes < 1:
        raise OptionError(f"a radial mask of {spokes} spokes: give one or more.")
    step = 180 / spokes if angle is None else angle
    angles = torch.deg2rad(torch.arange(spokes, dtype=torch.float64) * step)
    along = torch.linspace(-1, 1, 4 * max(shape) + 1, dtype=torch.float64)
    mask = torch.zeros(shape, dtype=torch.bool)
    indices = [
        (size // 2 + torch.round(along * direction[:, None] * (size / 2)))
        .long()
        .clamp(0, size - 1)
        .flatten()
        for size, direction in zip(shape, (angles.sin(), angles.cos()), strict=True)
    ]
    mask[indices[0], indices[1]] = True
    mask[centre_slice(shape[0], calibration), centre_slice(shape[1], calibration)] = True
    return mask


def radius(shape: tuple[int, int]) -> Tensor:
    """Distance from DC, 0 there and 1 in the corners."""
    y = (torch.arange(shape[0]) - shape[0] // 2) / (shape[0] / 2)
    x = (torch.arange(shape[1]) - shape[1] // 2) / (shape[1] / 2)
    return torch.hypot(y[:, None], x[None, :]) / 2**0.5


def _power(distance: Tensor, decay: float) -> Tensor:
    return (1 - distance).clamp_min(0) ** decay + 1e-6


def _normal(distance: Tensor, width: float) -> Tensor:
    if width <= 0:
        raise OptionError(f"a Gaussian density of width {width}: give a width above zero.")
    return torch.exp(-0.5 * (distance / width) ** 2) + 1e-6


def _draw(
    weight: Tensor, budget: int, calibration: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    """Fill the calibration block, then draw by weight without replacement up to the budget."""
    mask = torch.zeros(weight.shape, dtype=torch.bool)
    block = tuple(
        centre_slice(size, width) for size, width in zip(weight.shape, calibration, strict=True)
    )
    mask[block] = True
    _check_block(mask.sum(), budget)
    left = budget - int(mask.sum())
    # Gumbel keys: the largest `left` of them are a weighted sample without replacement.
    noise = torch.rand(weight.shape, generator=generator).clamp_min(1e-12)
    keys = weight.log() - (-noise.log()).log()
    keys[mask] = -torch.inf
    mask.view(-1)[keys.view(-1).topk(left).indices] = True
    return mask


def _check_block(block: Tensor | np.int_, budget: int) -> None:
    if int(block) > budget:
        raise OptionError(
            f"the calibration takes {int(block)} samples of {budget}: "
            "lower the acceleration or the calibration."
        )


def poisson_disc(
    shape: tuple[int, int], acceleration: float, calibration: int, slope: float, seed: int
) -> Tensor:
    """Variable-density Poisson disc: no two points closer than ``r(k) = r_0 (1 + slope |k|)``.

    Dart throwing in a random order; ``r_0`` by bisection, then single points are added or
    removed, so that ``round(y x / acceleration)`` are measured, with a square block around DC.
    Raises OptionError if the block alone is more than that.

    Source: Bridson, SIGGRAPH 2007; Vasanawala et al., ISBI 2011.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(shape[0] * shape[1])
    growth = 1 + slope * radius(shape).numpy()
    block = np.zeros(shape, dtype=bool)
    block[centre_slice(shape[0], calibration), centre_slice(shape[1], calibration)] = True
    budget = round(shape[0] * shape[1] / acceleration)
    _check_block(block.sum(), budget)
    low, high = 0.3, 1.5 * acceleration**0.5
    best = block
    for _ in range(7):
        middle = (low + high) / 2
        mask = _throw_darts(order, growth * middle) | block
        if abs(int(mask.sum()) - budget) < abs(int(best.sum()) - budget):
            best = mask
        if mask.sum() > budget:
            low = middle
        else:
            high = middle
    return torch.from_numpy(_adjust(best, block, budget, random))


def _throw_darts(order: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Accept points in the given order unless an accepted one lies within its radius."""
    height, width = radii.shape
    reach = int(radii.max()) + 1
    # A border of `reach` spares the inner loop every bounds check.
    free = np.ones((height + 2 * reach, width + 2 * reach), dtype=bool)
    flat = free.reshape(-1)
    stride = free.shape[1]
    steps = np.arange(-reach, reach + 1)
    distance = np.hypot(steps[:, None], steps[None, :])
    offsets = steps[:, None] * stride + steps[None, :]
    # Radii in steps of 0.1 pixels share one list of covered neighbours.
    level = np.rint(radii * 10).astype(int)
    covered = {k: offsets[distance < k / 10] for k in np.unique(level).tolist()}
    position = ((order // width + reach) * stride + order % width + reach).tolist()
    accepted = []
    for index, k, start in zip(
        order.tolist(), level.reshape(-1)[order].tolist(), position, strict=True
    ):
        if flat[start]:
            accepted.append(index)
            flat[start + covered[k]] = False
    mask = np.zeros(height * width, dtype=bool)
    mask[accepted] = True
    return mask.reshape(height, width)


def _adjust(
    mask: np.ndarray, block: np.ndarray, budget: int, random: np.random.Generator
) -> np.ndarray:
    """Add or remove random points outside the block until the budget is met exactly."""
    surplus = int(mask.sum()) - budget
    candidates = np.flatnonzero(mask & ~block if surplus > 0 else ~mask)
    chosen = random.choice(candidates, min(abs(surplus), len(candidates)), replace=False)
    mask = mask.copy()
    mask.reshape(-1)[chosen] = surplus < 0
    return mask


@lru_cache(maxsize=2048)
def pooled_poisson_disc(size: int, low: float, high: float, index: int) -> Tensor:
    """Member ``index`` of a pool of Poisson-disc masks (size, size), made at its first use.

    Acceleration (loguniform from low to high), slope and block follow from the index alone, so
    that a draw does not depend on what was drawn before.
    """
    random = np.random.default_rng([size, index])
    acceleration = float(np.exp(random.uniform(np.log(low), np.log(high))))
    slope = float(random.uniform(0.0, 4.0))
    largest = 0.7 * size / acceleration**0.5
    calibration = int(min(random.integers(12, 25), largest))
    return poisson_disc((size, size), acceleration, calibration, slope, seed=index)
