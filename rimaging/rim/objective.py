"""What a step of training minimises: the errors of all estimates, and how well they are known."""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.rim.coverage import coverage_loss, distances
from rimaging.rim.loss import loss, misfit, step_weight
from rimaging.rim.precision import network_dtype
from rimaging.rim.response import in_pairs, response_error
from rimaging.rim.rim import RIM
from rimaging.rim.training_config import TrainingConfig
from rimaging.typing import LikelihoodLike


def objective(
    rim: RIM, likelihood: LikelihoodLike, truth: Tensor, config: TrainingConfig
) -> Tensor:
    """Infer, and sum what `TrainingConfig` weighs of the errors of all estimates.

    These are `loss`, `misfit`, `response_error` and `coverage_loss`; with ``error_only`` nothing
    flows into the estimates, and the last one is all.
    """
    with torch.set_grad_enabled(not config.error_only):
        estimates = rim(
            likelihood,
            network_dtype=network_dtype(truth.device),
            checkpoint_steps=config.checkpoint_steps,
        )
    value = truth.new_zeros((), dtype=likelihood.noise_scale.dtype)
    if not config.error_only:
        value = loss(
            estimates,
            truth,
            likelihood.noise_scale,
            likelihood.item_axes,
            config.late,
            config.floor,
            config.blocks,
            config.shapes,
        )
        if config.misfit:
            value = value + config.misfit * misfit(estimates, likelihood, config.late, config.floor)
        if config.response and in_pairs(truth, likelihood.item_axes):
            for index, estimate in enumerate(estimates, start=1):
                weight = config.response * step_weight(index, len(estimates), config.late)
                value = value + weight * response_error(estimate, truth).mean()
    if rim.error_head is not None:
        with torch.no_grad():
            off = distances(likelihood, estimates[-1], truth, rim.config.error_residual)
        value = value + coverage_loss(rim.log_error(likelihood, estimates), off)
    return value
