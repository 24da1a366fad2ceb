"""The loss of a training step: logarithms of errors, in units of the noise."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rimaging.rim.spots import REACH, Spots, brightest_spots, shape_error
from rimaging.typing import LikelihoodLike

BLOCK_SIDES = (8, 16, 32)
"""Edges in pixels of the blocks whose means count by themselves."""

BLOCK_FLOOR = 0.1
"""Added to the squared error of the means of blocks, in units of the noise of such a mean. Errors
below it count by their square, whose best answer is without bias; a logarithm's is not."""


def loss(
    estimates: list[Tensor],
    truth: Tensor,
    noise_scale: Tensor,
    axes: int,
    late: float,
    floor: float,
    blocks: float = 0.0,
    shapes: float = 0.0,
) -> Tensor:
    """``sum_t w_t mean_i log(mse_it / s_i^2 + floor)``: the PSNR that will be reported, smoothed.

    The logarithm makes items of any scale and difficulty count alike. ``w_t`` sums to one, between
    uniform (``late`` 0) and proportional to ``t`` (``late`` 1). ``blocks`` times the same is added
    for the means over blocks (`BLOCK_SIDES`, their average), in units of the noise of such a mean.

    Args:
        estimates: one for each step, ``(batch, ..., y, x)``.
        truth: of the same shape.
        noise_scale: of each item, broadcasting against the truth.
        axes: how many of the last axes make an item.
        late: between 0 and 1.
        floor: of the squared error, in units of the noise's variance.
        blocks: weight of the means over blocks.
        shapes: weight of the error of the shape of the brightest spot (`rimaging.rim.spots`), of
            real images that are large enough.
    """
    count = len(estimates)
    total = truth.new_zeros((), dtype=noise_scale.dtype)
    sides = [side for side in BLOCK_SIDES if side <= min(truth.shape[-2:])] if blocks else []
    spots: Spots | None = None
    if shapes and not truth.is_complex() and min(truth.shape[-2:]) > 2 * REACH:
        spots = brightest_spots(_flat(truth))
    for index, estimate in enumerate(estimates, start=1):
        error = (estimate - truth) / noise_scale
        weight = step_weight(index, count, late)
        total = total + weight * torch.log(_power(error, axes) + floor).mean()
        for side in sides:
            power = _power(_block_means(error, side), axes)
            total = total + blocks / len(sides) * weight * torch.log(power + BLOCK_FLOOR).mean()
        if spots is not None:
            total = total + shapes * weight * shape_error(_flat(estimate), spots).mean()
    return total


def misfit(
    estimates: list[Tensor], likelihood: LikelihoodLike, late: float, floor: float
) -> Tensor:
    """``sum_t w_t mean_i log(chi2_it + floor)``: what the measurement itself says of estimates.

    Weights as in `loss`. The mean of all pictures that explain the data, which the squared error
    asks for, need not explain them where the operator is not linear.
    """
    total = estimates[0].new_zeros((), dtype=likelihood.noise_scale.dtype)
    for index, estimate in enumerate(estimates, start=1):
        power = torch.log(likelihood.chi2(estimate) + floor).mean()
        total = total + step_weight(index, len(estimates), late) * power
    return total


def step_weight(index: int, count: int, late: float) -> float:
    """The weight of step ``index`` of ``count``, from one; those of all steps sum to one."""
    return (1 - late) / count + late * 2 * index / (count * (count + 1))


def _flat(images: Tensor) -> Tensor:
    return images.reshape(-1, *images.shape[-2:])


def _power(error: Tensor, axes: int) -> Tensor:
    squared = (error.conj() * error).real if error.is_complex() else error**2
    return squared.mean(dim=tuple(range(-axes, 0)))


def _block_means(error: Tensor, side: int) -> Tensor:
    """Means over blocks of ``side`` pixels, in units of the noise of such a mean."""
    planes = torch.view_as_real(error).movedim(-1, 0) if error.is_complex() else error
    means = side * F.avg_pool2d(planes.reshape(-1, 1, *planes.shape[-2:]), side)
    means = means.reshape(*planes.shape[:-2], *means.shape[-2:])
    return torch.complex(means[0], means[1]) if error.is_complex() else means
