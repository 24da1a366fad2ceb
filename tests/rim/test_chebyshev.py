"""Solves by a fixed polynomial: they converge, and no pixel sees farther than its degree."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from rimaging.errors import OptionError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.nonlinear import Pointwise
from rimaging.operators.poisson import Poisson
from rimaging.operators.sampling import Sampling
from rimaging.operators.target import gaussian_psf
from rimaging.rim.config import RIMConfig
from rimaging.rim.newton import consistent, newton_direction
from rimaging.rim.rim import RIM

PSF = gaussian_psf(2.0)[3:-3, 3:-3].double()


def sky(*shape: int, ring: float = 0.0) -> Gaussian:
    """Noise and stars under a weight, seen by a PSF that is negative around its core."""
    generator = torch.Generator().manual_seed(3)
    y = torch.randn(shape, generator=generator, dtype=torch.float64)
    y[..., 5::17, 3::19] += 40
    weight = (torch.rand(shape, generator=generator) > 0.2).double()
    sigma = 0.5 + torch.rand(shape, generator=generator, dtype=torch.float64)
    return Gaussian(Convolution(PSF - ring, shape[-2:], "reflect"), y, sigma, weight)


@pytest.mark.parametrize("ring", [0.0, 0.02])
@pytest.mark.parametrize("damping", [0.02, 0.3])
def test_more_of_it_comes_nearer_and_never_goes_astray(ring: float, damping: float) -> None:
    likelihood = sky(2, 19, 20, ring=ring)
    x = likelihood.zeros()
    score = likelihood.score(x)
    target = newton_direction(likelihood, x, score, 400, damping)
    seen = likelihood.operator(target)
    misses = []
    for iterations in (1, 3, 6, 12, 24, 48):
        d = newton_direction(likelihood, x, score, iterations, damping, chebyshev=True)
        misses.append(float((likelihood.operator(d) - seen).square().sum() / seen.square().sum()))
    assert all(later < sooner for sooner, later in pairwise(misses))
    assert misses[-1] < (1e-3 if damping < 0.1 else 1e-8)


def test_a_flat_sky_is_solved_at_once() -> None:
    operator = Convolution(PSF, (20, 21), "reflect")
    flat = torch.full((20, 21), 7.0, dtype=torch.float64)
    likelihood = Gaussian(operator, operator(flat), 0.5)
    x = likelihood.zeros()
    for iterations in (1, 2, 5):
        d = newton_direction(likelihood, x, likelihood.score(x), iterations, 0.0, chebyshev=True)
        assert torch.allclose(d, flat)


def test_photons_are_solved_for_too() -> None:
    operator = Convolution(PSF, (20, 21), "reflect")
    truth = 50 * torch.rand(20, 21, dtype=torch.float64)
    truth[10, 10] = 1e4
    likelihood = Poisson(operator, operator(truth) + 20, 20.0)
    x = likelihood.zeros()
    misses = []
    for _ in range(6):
        x = consistent(likelihood, x, 8, 1e-3, chebyshev=True)
        misses.append(float(likelihood.chi2(x)))
    assert all(later < sooner for sooner, later in pairwise(misses))
    assert misses[-1] < 0.2 and float(likelihood.chi2(likelihood.zeros())) > 1000


def test_its_gradient_is_that_of_finite_differences() -> None:
    likelihood = sky(1, 5, 6)
    x = likelihood.zeros().requires_grad_()
    damping = torch.rand(1, 5, 6, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, d: consistent(likelihood, x, 4, d, chebyshev=True), (x, damping)
    )


@pytest.fixture
def rim() -> RIM:
    torch.manual_seed(0)
    config = RIMConfig(
        steps=1,
        fine=4,
        coarse=4,
        initial_iterations=2,
        newton_iterations=1,
        consistency_iterations=1,
        confidence=True,
        chebyshev=True,
    )
    return RIM(config).double().eval().requires_grad_(False)


def test_a_tile_equals_the_whole(rim: RIM) -> None:
    whole = sky(1, 200, 48)
    whole = Gaussian(whole.operator, whole.y, 1.0)
    full = rim(whole)[-1]
    tile = Gaussian(Convolution(PSF, (120, 48), "reflect"), whole.y[:, :120], 1.0)
    part = rim(tile)[-1]
    reach = 88  # more than every filter of this network together
    assert torch.allclose(part[:, : 120 - reach], full[:, : 120 - reach], atol=1e-10)


def test_a_star_far_away_changes_nothing(rim: RIM) -> None:
    alone = Gaussian(Convolution(PSF, (200, 24), "reflect"), sky(1, 200, 24).y, 1.0)
    y = alone.y.clone()
    y[:, 190, 12] += 1e6
    image, with_star = rim(alone)[-1], rim(alone.observing(y))[-1]
    # an FFT rounds everywhere
    assert torch.allclose(with_star[:, :80], image[:, :80], rtol=0, atol=1e-8)
    assert not torch.allclose(with_star[:, 160:], image[:, 160:], atol=1.0)


def test_any_linear_operator_is_solved_for() -> None:
    generator = torch.Generator().manual_seed(0)
    mask = (torch.rand(9, 8, generator=generator) > 0.3).double()
    maps = torch.randn(3, 9, 8, dtype=torch.complex128, generator=generator)
    for operator in (
        Sampling(mask, dtype=torch.float64) @ Convolution(PSF, (9, 8)),
        CartesianMRI(maps, mask),
    ):
        y = torch.randn(operator.range.shape, dtype=operator.range.dtype, generator=generator)
        likelihood = Gaussian(operator, y, 0.3)
        x = likelihood.zeros()
        score = likelihood.score(x)
        solved = newton_direction(likelihood, x, score, 200, 0.3)
        found = newton_direction(likelihood, x, score, 60, 0.3, chebyshev=True)
        assert torch.allclose(found, solved, rtol=0, atol=1e-3 * float(solved.abs().max()))


def test_an_operator_that_is_not_linear_is_refused() -> None:
    operator = Pointwise(Convolution(PSF, (9, 8)), torch.nn.Softplus())
    likelihood = Gaussian(operator, torch.ones(9, 8, dtype=torch.float64), 1.0)
    x = likelihood.zeros()
    with pytest.raises(OptionError, match="conjugate gradients"):
        newton_direction(likelihood, x, likelihood.score(x), 2, 0.1, chebyshev=True)


def test_in_a_gap_wider_than_the_psf_rounding_is_no_light() -> None:
    wide = gaussian_psf(4.0).double()
    y = torch.zeros(90, 80, dtype=torch.float64)
    y[5::17, 3::19] = 3000.0
    y = Convolution(wide, (90, 80), "reflect")(y)
    weight = torch.ones_like(y)
    weight[30:60] = 0
    found = []
    for dtype in (torch.float32, torch.float64):
        operator = Convolution(wide.to(dtype), (90, 80), "reflect")
        likelihood = Gaussian(operator, y.to(dtype), 1.0, weight.to(dtype))
        x = likelihood.zeros()
        score = likelihood.score(x)
        found.append(newton_direction(likelihood, x, score, 4, 0.0, chebyshev=True).double())
    assert (found[0] - found[1]).abs().max() < 1e-2 * found[1].abs().max()
