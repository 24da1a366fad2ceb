"""The settings of a training, as they stand in the `[training]` table of a card."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingConfig:
    """How a RIM is trained.

    Attributes:
        iterations: optimiser steps in all; the cosine schedule ends there.
        minutes: above 0, the schedule ends after that time and not after ``iterations``: for a
            machine that is lent. Such a run learns what fits and cannot be repeated bit by bit.
        batch: items per optimiser step.
        size: edge of the training patches in pixels.
        learning_rate: peak of the schedule, after ``warmup`` steps.
        warmup: optimiser steps of linear rise.
        clip: largest norm of the gradient.
        ema: decay of the running mean of the weights, which is what is shipped.
        late: 0 weighs all inference steps alike, 1 linearly rising weights.
        floor: added to the squared error in units of the noise's variance, so that flat patches do
            not outweigh all others.
        blocks: weight of the same loss on means over blocks, which holds flux and background to
            account where the error of single pixels would hide theirs.
        shapes: weight of the error of the shape of the brightest spot of each image, for those who
            measure shapes (`rimaging.rim.spots`).
        misfit: weight of the logarithm of what the estimates leave unexplained (chi^2), for those
            whose yardstick is the measurement.
        response: weight of the error of the flux of one star more, in batches that come in pairs
            (`rimaging.rim.response`).
        error_only: train the error head alone (`RIMConfig.error_features`), nothing of the rest.
        reuse: optimiser steps that each drawn batch serves, where drawing takes longer than a step.
        checkpoint_steps: recompute inference steps in the backward pass, for memory.
        validate_every: optimiser steps between validations, curves and checkpoints.
        seed: of weights and samples.
    """

    iterations: int = 10_000
    minutes: float = 0.0
    batch: int = 16
    size: int = 64
    learning_rate: float = 2e-3
    warmup: int = 200
    clip: float = 1.0
    ema: float = 0.999
    late: float = 0.0
    floor: float = 0.01
    blocks: float = 0.0
    shapes: float = 0.0
    misfit: float = 0.0
    response: float = 0.0
    error_only: bool = False
    reuse: int = 1
    checkpoint_steps: bool = False
    validate_every: int = 500
    seed: int = 0
