"""Operators in any units: the answer is that of the same operator of norm 1."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from rimaging import image
from rimaging.errors import DataError
from rimaging.image.operator_norm import USUAL, of_the_user, of_usual_norm
from rimaging.operators.convolution import Convolution
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.resampling import Bicubic
from rimaging.operators.sampling import Sampling
from rimaging.rim.weights import load_weights

SHAPE = (24, 20)


def measured(operator: LinearOperator) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    y, x = torch.linspace(-1, 1, SHAPE[0]), torch.linspace(-1, 1, SHAPE[1])
    seen: Tensor = operator(0.5 + 0.4 * torch.sin(3 * y[:, None] + 2 * x))
    return seen + 0.02 * torch.randn(seen.shape, generator=generator)


def half_seen() -> Sampling:
    return Sampling((torch.rand(SHAPE, generator=torch.Generator().manual_seed(1)) > 0.5).float())


@pytest.mark.parametrize("factor", [1e-12, 1e-6, 1e-2, 30.0, 1e12])
@pytest.mark.parametrize("method", ["rim", "plug-and-play", "map", "tv"])
def test_the_units_of_a_detector_change_nothing(factor: float, method: image.MethodName) -> None:
    blur = Convolution(torch.ones(3, 3) / 9, SHAPE)
    for operator in (half_seen(), blur):
        y = measured(operator)
        one, other = (
            image.restore(c * y, c * operator, c * 0.02, method=method) for c in (factor, 1e3)
        )
        assert torch.allclose(one.image, other.image, atol=1e-4)
        assert one.chi2 == pytest.approx(other.chi2, rel=1e-3)


def test_a_mask_in_counts_is_the_mask() -> None:
    operator = half_seen()  # whose norm is 1
    y = measured(operator)
    plain = image.restore(y, operator, 0.02)
    counts = image.restore(1e3 * y, 1e3 * operator, 20.0)
    assert torch.allclose(counts.image, plain.image, atol=1e-4)


def test_operators_like_those_of_the_training_stay_as_they_are() -> None:
    for operator in (half_seen(), Bicubic(SHAPE, 2), Bicubic(SHAPE, 4)):
        y = measured(operator)
        same, data, noise = of_usual_norm(operator, y, torch.tensor(0.1))
        assert same is operator and data is y and float(noise) == pytest.approx(0.1)


def test_others_get_norm_one_and_the_same_signal_to_noise() -> None:
    operator = 300.0 * half_seen()
    y = measured(operator)
    found, data, noise = of_usual_norm(operator, y, torch.tensor(0.1))
    assert isinstance(found, LinearOperator)
    assert float(found.norm()) == pytest.approx(1, rel=1e-3)
    assert torch.allclose(data / noise, y / 0.1)
    assert not USUAL[0] <= 300 <= USUAL[1]


def test_an_operator_that_sees_nothing_is_refused() -> None:
    blind = 0.0 * half_seen()
    with pytest.raises(DataError, match="see something"):
        of_usual_norm(blind, torch.zeros(SHAPE), torch.tensor(0.1))


def test_weights_of_ones_own_see_the_operator_as_it_is(real_weights: Path) -> None:
    operator = 300.0 * half_seen()
    y = measured(operator)
    rim, _ = load_weights(real_weights)
    assert of_the_user(rim) and of_the_user(real_weights)
    assert not of_the_user(None) and not of_the_user("image-any")
    by_name = image.restore(y, operator, 6.0, real_weights, method="rim").image
    in_memory = image.restore(y, operator, 6.0, rim)
    assert in_memory.provenance["method"] == "rim"
    assert torch.equal(in_memory.image, by_name)
