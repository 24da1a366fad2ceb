"""Iterative MAP and primal-dual TV: optimality, monotone ascent, scaling, any operator."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rimaging.errors import DataError, OptionError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.operators.nonlinear import Pointwise
from rimaging.operators.sampling import Sampling
from rimaging.operators.target import gaussian_psf
from rimaging.solvers.differences import NORM_SQUARED, differences, differences_adjoint, steepness
from rimaging.solvers.iterative_map import iterative_map
from rimaging.solvers.primal_dual_tv import primal_dual_tv

SIGMA = 0.1
PRIORS = ["huber", "tv", "gauss-markov"]


def truth() -> Tensor:
    x = torch.zeros(20, 18, dtype=torch.float64)
    x[5:14, 4:12] = 1
    return x


def blurred() -> Gaussian:
    blur = Convolution(gaussian_psf(2.0).double(), (20, 18), "reflect")
    noise = torch.randn(20, 18, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Gaussian(blur, blur(truth()) + SIGMA * noise, SIGMA)


def posterior(likelihood: Gaussian, x: Tensor, lamda: float, prior: str, width: float) -> Tensor:
    g, knee = steepness(differences(x)), width * SIGMA
    energy = {
        "huber": torch.where(g < knee, g**2 / (2 * knee), g - knee / 2) / SIGMA,
        "tv": (g**2 + knee**2).sqrt() / SIGMA,
        "gauss-markov": g**2 / (2 * SIGMA**2),
    }[prior]
    return likelihood.log_prob(x) - lamda * energy.sum()


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_differences_have_their_adjoint_and_their_bound(rows: int, columns: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, rows, columns, generator=generator, dtype=torch.float64)
    p = torch.randn(2, 2, rows, columns, generator=generator, dtype=torch.float64)
    left, right = (differences(x) * p).sum(), (x * differences_adjoint(p)).sum()
    assert float((left - right).abs()) <= 1e-10 * float(x.norm() * p.norm())
    assert float(differences(x).norm() ** 2) <= NORM_SQUARED * float(x.norm() ** 2) + 1e-12


@pytest.mark.parametrize("prior", PRIORS)
def test_the_ascent_never_falls_and_ends_where_the_gradient_vanishes(prior: str) -> None:
    likelihood = blurred()
    plain = iterative_map(likelihood, lamda=0.3, prior=prior, steps=25, momentum=False)  # type: ignore[arg-type]
    heights = [float(posterior(likelihood, x, 0.3, prior, 1.0)) for x in plain]
    assert all(b >= a - 1e-9 * abs(a) for a, b in itertools.pairwise(heights))
    x = iterative_map(likelihood, lamda=0.3, prior=prior, steps=300)[-1].requires_grad_()  # type: ignore[arg-type]
    (gradient,) = torch.autograd.grad(posterior(likelihood, x, 0.3, prior, 1.0), x)
    assert float(gradient.norm()) < 1e-3 * float(likelihood.score(truth() * 0).norm())
    assert float(posterior(likelihood, x.detach(), 0.3, prior, 1.0)) >= heights[-1]


@pytest.mark.parametrize("prior", PRIORS)
def test_scaling_and_batches(prior: str) -> None:
    one = blurred()
    x = iterative_map(one, lamda=0.5, prior=prior, steps=20)[-1]  # type: ignore[arg-type]
    y = torch.stack([one.y, 64 * one.y])
    sigma = SIGMA * torch.tensor([1.0, 64.0], dtype=torch.float64)[:, None, None]
    both = iterative_map(Gaussian(one.operator, y, sigma), lamda=0.5, prior=prior, steps=20)[-1]  # type: ignore[arg-type]
    assert torch.allclose(both, torch.stack([x, 64 * x]), rtol=1e-6, atol=1e-8)
    tv = primal_dual_tv(Gaussian(one.operator, y, sigma), lamda=0.5, iterations=20)
    assert torch.allclose(tv[1], 64 * tv[0], rtol=1e-6, atol=1e-8)


def test_both_methods_agree_where_the_prior_is_nearly_total_variation() -> None:
    likelihood = blurred()
    smooth = iterative_map(likelihood, lamda=0.4, prior="huber", width=0.05, steps=500)[-1]
    exact = primal_dual_tv(likelihood, lamda=0.4, iterations=400)
    assert float((smooth - exact).norm()) < 0.02 * float(exact.norm())


def test_a_prior_beats_none() -> None:
    likelihood = blurred()
    alone = iterative_map(likelihood, lamda=0.0, steps=200)[-1]
    for x in (
        iterative_map(likelihood, lamda=0.3, steps=200)[-1],
        primal_dual_tv(likelihood, lamda=0.3, iterations=200),
    ):
        assert float((x - truth()).norm()) < 0.6 * float((alone - truth()).norm())


def test_missing_pixels_are_filled_and_a_detector_is_inverted() -> None:
    mask = torch.rand(20, 18, generator=torch.Generator().manual_seed(3)) < 0.5
    hidden = Sampling(mask, dtype=torch.float64)
    x = primal_dual_tv(Gaussian(hidden, hidden(truth()), 0.01), lamda=0.5, iterations=400)
    assert float((x - truth()).abs().mean()) < 0.05
    detector = Pointwise(Identity((20, 18), torch.float64), torch.nn.Tanh())
    y = detector(truth())
    x = iterative_map(Gaussian(detector, y, 0.01), lamda=1e-4, steps=200)[-1]
    assert float((x - truth()).abs().max()) < 0.05


def test_what_cannot_be_is_refused() -> None:
    likelihood = blurred()
    with pytest.raises(OptionError, match="huber"):
        iterative_map(likelihood, lamda=1.0, prior="flat")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="lamda"):
        iterative_map(likelihood, lamda=-1.0)
    with pytest.raises(OptionError, match="lamda"):
        primal_dual_tv(likelihood, lamda=-1.0)
    maps = torch.ones(1, 8, 8, dtype=torch.complex64)
    scan = Gaussian(CartesianMRI(maps), maps, 0.1)
    for method in (iterative_map, primal_dual_tv):
        with pytest.raises(DataError, match="real images"):
            method(scan, lamda=1.0)
