"""Laws of clipped noise: the score is that of its density, and no bias is left at black."""

from __future__ import annotations

import math

import pytest
import torch

from rimaging.errors import DataError
from rimaging.operators.clipped import Clipped
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.rim.config import RIMConfig
from rimaging.rim.rim import RIM
from rimaging.testing import assert_score

BLUR = Convolution(torch.rand(3, 3, dtype=torch.float64) / 4, (5, 6))


def observed(
    shape: tuple[int, ...], sigma: float, dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(shape, generator=generator, dtype=dtype)
    return x + sigma * torch.randn(shape, generator=generator, dtype=dtype)


@pytest.mark.parametrize("operator", [Identity((5, 6), torch.float64), BLUR])
def test_the_score_is_the_gradient(operator: Identity | Convolution) -> None:
    likelihood = Clipped(operator, observed((2, 5, 6), 0.5), 0.5)
    ends = int(((likelihood.y == 0) | (likelihood.y == 1)).sum())
    assert 5 < ends < 50
    generator = torch.Generator().manual_seed(1)
    assert_score(likelihood, torch.rand(2, 5, 6, generator=generator, dtype=torch.float64))


def test_between_the_ends_it_is_a_gaussian() -> None:
    y = 0.5 + 0.1 * observed((1, 5, 6), 0.1)
    x = torch.rand(1, 5, 6, dtype=torch.float64)
    identity = Identity((5, 6), torch.float64)
    clipped, plain = Clipped(identity, y, 0.2), Gaussian(identity, y, 0.2)
    assert torch.allclose(clipped.score(x), plain.score(x))
    assert torch.allclose(clipped.log_prob(x), plain.log_prob(x))
    assert torch.allclose(clipped.chi2(x), plain.chi2(x))
    assert torch.allclose(clipped.curvature(x, x), plain.curvature(x, x))


def test_the_curvature_is_that_of_the_density() -> None:
    identity = Identity((1, 3), torch.float64)
    likelihood = Clipped(identity, torch.tensor([[[0.0, 0.5, 1.0]]], dtype=torch.float64), 0.3)
    x = torch.tensor([[[0.2, 0.4, 0.9]]], dtype=torch.float64)
    step, v = 1e-5, torch.ones_like(x)
    numeric = -(likelihood.score(x + step) - likelihood.score(x - step)) / (2 * step)
    assert torch.allclose(likelihood.curvature(x, v), numeric, rtol=1e-6)


@pytest.mark.parametrize("operator", [Identity((5, 6), torch.float64), BLUR])
def test_what_is_expected_beyond_an_end_has_the_score_of_a_gaussian(
    operator: Identity | Convolution,
) -> None:
    weight = (torch.arange(30).reshape(5, 6) % 7 > 0).double()
    likelihood = Clipped(operator, observed((2, 5, 6), 0.5), 0.5, weight=weight)
    x = torch.rand(2, 5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    imputed = likelihood.imputed(x)
    completed = Gaussian(operator, imputed, 0.5, weight=weight)
    assert torch.allclose(completed.score(x), likelihood.score(x))
    between = (likelihood.y > 0) & (likelihood.y < 1)
    assert torch.equal(imputed[between], likelihood.y[between])
    measured = weight.expand(2, 5, 6) > 0
    assert (imputed[(likelihood.y == 1) & measured] > 1).all()
    assert (imputed[(likelihood.y == 0) & measured] < 0).all()


def test_far_beyond_an_end_all_stays_finite() -> None:
    identity = Identity((1, 2), torch.float32)
    likelihood = Clipped(identity, torch.tensor([[[0.0, 1.0]]]), 1e-3)
    for far in (-50.0, 0.5, 50.0):
        x = torch.full((1, 1, 2), far)
        assert torch.isfinite(likelihood.score(x)).all()
        assert torch.isfinite(likelihood.curvature(x, x)).all()


@pytest.mark.parametrize("sigmas", [5, 19, 21, 60, 500, 5000])
def test_an_end_that_is_far_away_is_as_certain_in_single_precision(sigmas: float) -> None:
    # An image of one gray, where every inference begins, sees white that far away.
    both = []
    for dtype in (torch.float32, torch.float64):
        likelihood = Clipped(Identity((1, 2), dtype), torch.tensor([[[0.0, 1.0]]]).to(dtype), 0.25)
        x = torch.tensor([[[0.25 * sigmas, 1 - 0.25 * sigmas]]], dtype=dtype)
        both.append([likelihood.curvature(x, torch.ones_like(x)) / 16, likelihood.score(x)])
        assert torch.allclose(both[-1][0], torch.ones_like(x), rtol=2 / sigmas**2)
    for single, double in zip(*both, strict=True):
        assert torch.allclose(single.double(), double, rtol=2e-4)


def test_scaling_data_noise_and_ends_scales_the_estimate() -> None:
    torch.manual_seed(0)
    rim = RIM(RIMConfig(steps=3, fine=8, coarse=8)).eval().requires_grad_(False)
    torch.nn.init.normal_(rim.cell.write.weight, std=0.1)
    y = observed((1, 16, 20), 0.4, torch.float32)
    identity = Identity((16, 20))
    one = rim(Clipped(identity, y, 0.4))[-1]
    other = rim(Clipped(identity, 8 * y, 3.2, 0.0, 8.0))[-1]
    assert torch.allclose(other, 8 * one, rtol=1e-5, atol=1e-5)


def test_what_was_cut_off_at_black_leaves_no_bias() -> None:
    # The mean of a dark field under strong noise, by the maximum of each likelihood.
    truth, sigma = 0.05, 0.2
    noise = torch.randn(1, 100, 100, generator=torch.Generator().manual_seed(0)).double()
    y = (truth + sigma * noise).clamp(0, 1)
    identity = Identity((100, 100), torch.float64)
    likelihood = Clipped(identity, y, sigma)
    value = torch.tensor(0.5, dtype=torch.float64)
    for _ in range(30):
        x = value.expand(1, 100, 100)
        value = (
            value + likelihood.score(x).sum() / likelihood.curvature(x, torch.ones_like(x)).sum()
        )
    assert float(y.mean()) - truth > 0.04  # clipped data are too bright
    assert abs(float(value) - truth) < 4 * sigma / math.sqrt(y.numel())


def test_another_measurement_is_clipped_as_well() -> None:
    likelihood = Clipped(Identity((5, 6), torch.float64), observed((1, 5, 6), 0.5), 0.5)
    again = likelihood.observing(likelihood.y + 3)
    assert float(again.y.max()) == 1


@pytest.mark.parametrize("ends", [(1.0, 0.0), (0.5, 0.5)])
def test_ends_in_the_wrong_order_are_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(DataError, match="black first"):
        Clipped(Identity((5, 6)), torch.zeros(1, 5, 6), 0.1, *ends)
