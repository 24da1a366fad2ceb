"""Weights fitted to a measurement without its truth: better on it, repeatable, and on a copy."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.rim.adaptation import adapt
from rimaging.rim.config import RIMConfig
from rimaging.rim.rim import RIM
from rimaging.rim.weights import load_weights

SIZE = 32
SIGMA = 1.0


def truth() -> Tensor:
    axis = torch.linspace(-1, 1, SIZE)
    return 8 * torch.sin(9 * axis[:, None]) * torch.cos(12 * axis)[None]


def noisy(seed: int) -> Tensor:
    noise = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
    return (truth() + SIGMA * noise)[None]


def likelihood(y: Tensor, stated: float = SIGMA) -> Gaussian:
    return Gaussian(Identity((SIZE, SIZE)), y, stated)


def draw(generator: torch.Generator, stated: float = SIGMA) -> tuple[Gaussian, Gaussian]:
    """Two exposures of one scene."""
    first = int(torch.randint(4, (), generator=generator))
    return likelihood(noisy(first), stated), likelihood(noisy((first + 1) % 4), stated)


def fresh() -> RIM:
    torch.manual_seed(0)
    return RIM(RIMConfig(steps=2, fine=8, coarse=8)).eval().requires_grad_(False)


def test_exposures_correct_a_network_that_was_told_wrong_noise() -> None:
    stated = 4 * SIGMA
    rim, _ = load_weights("image")
    before = {name: value.clone() for name, value in rim.state_dict().items()}

    def error(rim: RIM) -> float:
        with torch.no_grad():
            found = rim(likelihood(noisy(9), stated))[-1]
        return float((found[0] - truth()).square().mean().sqrt())

    adapted = adapt(rim, lambda generator: draw(generator, stated), 12)
    assert error(adapted) < 0.95 * error(rim)
    assert all(torch.equal(before[name], value) for name, value in rim.state_dict().items())
    assert not any(p.requires_grad for p in adapted.parameters()) and not adapted.training


def test_the_same_seed_gives_the_same_weights_and_every_iteration_is_told() -> None:
    told: list[int] = []
    first, second, other = (
        adapt(fresh(), draw, 3, seed=seed, report=told.append).state_dict() for seed in (1, 1, 2)
    )
    assert told == [1, 2, 3] * 3
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_it_learns_within_inference_mode_too() -> None:
    with torch.inference_mode():
        adapted = adapt(fresh(), draw, 2)
    assert any(
        not torch.equal(a, b)
        for a, b in zip(adapted.parameters(), fresh().parameters(), strict=True)
    )


def test_a_gradient_that_is_not_finite_ends_it_at_once() -> None:
    told: list[int] = []

    def broken(_: torch.Generator) -> tuple[Gaussian, Gaussian]:
        return likelihood(noisy(0)), likelihood(noisy(1) * torch.inf)

    with pytest.raises(DataError, match="not finite"):
        adapt(fresh(), broken, 5, report=told.append)
    assert not told


def test_no_iteration_is_refused() -> None:
    with pytest.raises(OptionError, match="at least one iteration"):
        adapt(fresh(), draw, 0)
