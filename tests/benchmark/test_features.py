"""The methods that deep visualisation compares, on a small network of random weights."""

from __future__ import annotations

import math

import pytest
import torch

from rimaging.benchmark import features
from rimaging.datasets.simulate.features import centred
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.squeezenet import SqueezeNet


@pytest.fixture(scope="module")
def case() -> Gaussian:
    generator = torch.Generator().manual_seed(0)
    weights = {
        "conv1.weight": torch.randn(64, 3, 3, 3, generator=generator) / 5,
        "conv1.bias": 10 * torch.randn(64, generator=generator),
    }
    operator = SqueezeNet(weights, "conv1", (33, 33))
    blobs = torch.rand(1, 3, 6, 6, generator=generator)
    picture = torch.nn.functional.interpolate(blobs, (33, 33), mode="bilinear")[0]
    return Gaussian(operator, operator(centred(picture)), features.SIGMA)


def test_descent_explains_the_features_and_a_rate_too_high_is_told(case: Gaussian) -> None:
    start = features.feature_error(case, case.zeros())
    assert features.feature_error(case, features.descend(case, 1.0, 60)) < 0.2 * start
    assert features.feature_error(case, case.y.new_zeros(3, 33, 33)) == pytest.approx(start)
    assert features.short_descent(case, 1e6) == math.inf or features.short_descent(case, 1e6) > 1


def test_turns_of_newton_and_a_denoiser_explain_them_too(case: Gaussian) -> None:
    start = features.feature_error(case, case.zeros())
    found = features.in_turns(case, lambda x, _: x)
    assert features.feature_error(case, found) < 0.02 * start


def test_weights_that_know_the_network_are_taken_as_they_are(case: Gaussian) -> None:
    assert features.ours("image")[0].startswith("Newton steps")
    name, _, solve = features.ours("features")
    assert name.startswith("RIM")
    assert features.feature_error(case, solve(case)) < 0.01


def test_pictures_come_back_as_they_were_shown() -> None:
    picture = torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(1))
    shown = features.square(picture)
    assert shown.shape == (3, features.SIDE, features.SIDE)
    assert torch.allclose(features.visible(centred(shown)), shown, atol=1e-6)
