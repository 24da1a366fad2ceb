"""Weights fitted to measurements without a truth: samples that were left out are the judge."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError
from rimaging.rim.ensemble import ELEMENTS, Turned, turn_back
from rimaging.rim.loss import misfit
from rimaging.rim.precision import network_dtype
from rimaging.rim.rim import RIM
from rimaging.typing import LikelihoodLike

RATE = 4e-4
"""Peak of the learning rate of Adam."""
RISE = 10
"""Iterations in which the rate rises; by a half cosine it falls to zero at the end."""
FORGETTING = 0.05
"""Of the running mean of the weights, which is what comes out."""
CLIP = 1.0
FLOOR = 1e-3
"""Of chi2, whose logarithm is the loss."""

Draw = Callable[[torch.Generator], tuple[LikelihoodLike, LikelihoodLike]]


def adapt(
    rim: RIM,
    draw: Draw,
    iterations: int,
    *,
    seed: int = 0,
    report: Callable[[int], None] | None = None,
) -> RIM:
    """Fit a copy of a RIM to measurements: ``min sum_t w_t log chi2_held(x_t(given))``.

    Each iteration infers from one part of the samples, in one of the eight flips and turns of the
    image, and is judged by the others. As their noise is independent of what was given, the
    expectation of that is the squared error of the object plus a constant, up to what the operator
    does not see.

    Args:
        rim: weights to start from, which stay as they are.
        draw: two likelihoods of the same images with samples that no two of them share: what the
            RIM is given, and what it is judged by.
        iterations: steps of Adam, 60 for example.
        seed: of the draws.
        report: called after each iteration with its number, from one.

    Raises:
        OptionError: fewer than one iteration. DataError: a gradient that is not finite.

    Source: Yaman et al., Magn. Reson. Med. 84, 2020, 3172 (self-supervision by data undersampling);
    Yaman, Hosseini & Akcakaya, ICLR 2022 (of a single scan).
    """
    if iterations < 1:
        raise OptionError(f"adapt by at least one iteration, not {iterations}: 60 is a good number")
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode(False), torch.enable_grad():
        learner = copy.deepcopy(rim).requires_grad_(True)
        mean = copy.deepcopy(rim)
        optimiser = torch.optim.Adam(learner.parameters(), RATE)
        for index in range(iterations):
            given, held = draw(generator)
            element = int(torch.randint(ELEMENTS, (), generator=generator))
            rise = min(1.0, (index + 1) / RISE)
            fall = (1 + math.cos(math.pi * index / iterations)) / 2
            optimiser.param_groups[0]["lr"] = RATE * rise * fall
            _learn(learner, optimiser, given, held, element)
            with torch.no_grad():
                weight = max(FORGETTING, 9 / (10 + index))  # early on the start is forgotten sooner
                for slow, fast in zip(mean.parameters(), learner.parameters(), strict=True):
                    slow.lerp_(fast, weight)
            if report is not None:
                report(index + 1)
    return mean.requires_grad_(False)


def _learn(
    learner: RIM,
    optimiser: torch.optim.Optimizer,
    given: LikelihoodLike,
    held: LikelihoodLike,
    element: int,
) -> None:
    """One optimiser step."""
    device = next(learner.parameters()).device
    estimates: list[Tensor] = learner(Turned(given, element), network_dtype=network_dtype(device))
    upright = [turn_back(estimate, element) for estimate in estimates]
    value = misfit(upright, held, 1.0, FLOOR)
    optimiser.zero_grad(set_to_none=True)
    value.backward()
    norm = torch.nn.utils.clip_grad_norm_(learner.parameters(), CLIP)
    if not bool(torch.isfinite(norm)):
        raise DataError(
            f"adapting ends in a gradient that is not finite (loss {value.item():.4g}): check that "
            "noise and data have the same units"
        )
    optimiser.step()
