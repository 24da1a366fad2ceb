"""Maximum entropy: positive, equivariant, exact where nothing was measured."""

from __future__ import annotations

import pytest
import torch

from rimaging.errors import OptionError, ShapeError
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.operators.nonlinear import Pointwise
from rimaging.operators.target import gaussian_psf
from rimaging.solvers.maximum_entropy import maximum_entropy

SHAPE = (9, 8)


def prior() -> torch.Tensor:
    return torch.ones(SHAPE, dtype=torch.float64)


def truth() -> torch.Tensor:
    sky = torch.full(SHAPE, 0.1, dtype=torch.float64)
    sky[3:6, 3:6] = 5.0
    return sky


def blurred(sigma: float = 0.02) -> Gaussian:
    operator = Convolution(gaussian_psf(3.0, torch.float64), SHAPE, "reflect")
    noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Gaussian(operator, operator(truth()) + sigma * noise, sigma)


def test_the_gradient_vanishes_where_it_ends() -> None:
    one = blurred()
    x = maximum_entropy(one, prior(), entropy=5.0, iterations=400)
    assert bool((x > 0).all())
    flux = float(prior().sum())
    uphill = one.score(x) - 5.0 / flux * (x / prior()).log()
    free = x > 1e-6
    assert float(uphill[free].abs().max()) < 1e-3 * float(one.score(prior()).abs().max())


def test_scaling_data_noise_and_prior_scales_the_sky() -> None:
    one = blurred()
    x = maximum_entropy(one, prior(), variation=1.0, iterations=80)
    other = Gaussian(one.operator, 64 * one.y, 64 * 0.02)
    assert torch.allclose(
        maximum_entropy(other, 64 * prior(), variation=1.0, iterations=80), 64 * x, rtol=1e-6
    )


def test_it_beats_the_data_and_variation_smooths() -> None:
    one = blurred(0.1)
    x = maximum_entropy(one, prior(), entropy=100.0, iterations=100)
    assert float((x - truth()).norm()) < float((one.y - truth()).norm())

    def rough(image: torch.Tensor) -> float:
        return float(image.diff(dim=0).abs().sum() + image.diff(dim=1).abs().sum())

    assert rough(maximum_entropy(one, prior(), variation=1e5)) < 0.8 * rough(x)


def test_an_operator_that_is_not_linear() -> None:
    detector = Pointwise(Identity(SHAPE, torch.float64), torch.nn.Tanh())
    sky = 0.2 * truth()
    x = maximum_entropy(
        Gaussian(detector, detector(sky), 0.01), prior(), entropy=0.1, iterations=60
    )
    assert torch.allclose(x, sky, atol=0.02)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(OptionError, match="entropy"):
        maximum_entropy(blurred(), prior(), entropy=-1.0)
    with pytest.raises(ShapeError, match="above 0"):
        maximum_entropy(blurred(), 0 * prior())
