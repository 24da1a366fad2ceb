"""Non-linear operators: derivatives agree, likelihoods keep their laws, the RIM is the same."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.nonlinear import Pointwise
from rimaging.operators.poisson import Poisson
from rimaging.operators.squeezenet import LAYERS, SqueezeNet
from rimaging.operators.target import gaussian_psf
from rimaging.rim.config import RIMConfig
from rimaging.rim.interpolation import Interpolating
from rimaging.rim.newton import consistent, newton_direction
from rimaging.rim.rim import RIM
from rimaging.testing import assert_adjoint, assert_linear, assert_score, random_element


def saturating(dtype: torch.dtype = torch.float64) -> Pointwise:
    blur = Convolution(gaussian_psf(2.0).to(dtype), (9, 8), "reflect")
    return Pointwise(blur, torch.nn.Softplus())


def uniform(shape: Sequence[int]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.rand(*shape, dtype=torch.float64, generator=generator)


def network(layer: str = "fire4", dtype: torch.dtype = torch.float64) -> SqueezeNet:
    generator = torch.Generator().manual_seed(0)
    sizes = {"conv1": (64, 3, 3)}
    before = 64
    for index, (squeeze, expand) in enumerate(
        [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)], 2
    ):
        sizes[f"fire{index}.squeeze1x1"] = (squeeze, before, 1)
        sizes[f"fire{index}.expand1x1"] = (expand, squeeze, 1)
        sizes[f"fire{index}.expand3x3"] = (expand, squeeze, 3)
        before = 2 * expand
    weights = {}
    for name, (out, into, side) in sizes.items():
        scale = (2 / (into * side**2)) ** 0.5
        weights[f"{name}.weight"] = scale * torch.randn(out, into, side, side, generator=generator)
        weights[f"{name}.bias"] = 0.1 * torch.randn(out, generator=generator)
    return SqueezeNet(weights, layer, (19, 23), dtype)


@given(st.integers(0, 99), st.sampled_from([(), (2,), (2, 1)]))
def test_the_score_is_the_gradient(seed: int, batch: tuple[int, ...]) -> None:
    operator = saturating()
    x = random_element(operator.domain, batch, seed)
    y = random_element(operator.range, batch, seed + 1)
    assert_score(Gaussian(operator, y, 0.3), x)
    assert_score(Poisson(operator, y.abs().round(), 0.5), x)


def test_the_score_of_a_network_is_the_gradient() -> None:
    operator = network()
    x = 0.2 * random_element(operator.domain, (2,))
    assert_score(Gaussian(operator, operator(x) + 1, 0.1), 0.5 * x)


@pytest.mark.parametrize("operator", [saturating(), network()], ids=["pointwise", "network"])
def test_the_linearisation_keeps_the_laws_of_linear_operators(operator: Pointwise) -> None:
    x = 0.3 * random_element(operator.domain)
    jacobian = operator.linearised(x)
    assert_linear(jacobian, (2,))
    assert_adjoint(jacobian, (2,))
    v = random_element(operator.domain, (), 5)
    step = 1e-6
    difference = (operator(x + step * v) - operator(x - step * v)) / (2 * step)
    assert torch.allclose(jacobian(v), difference, rtol=1e-4, atol=1e-6 * difference.abs().max())


def test_the_curvature_is_that_of_gauss_and_newton() -> None:
    operator = saturating()
    x, v = (random_element(operator.domain, (), seed) for seed in (0, 1))
    likelihood = Gaussian(operator, operator(x), 0.3)
    # Where the data are met, minus the second derivative is the Gauss-Newton matrix.
    hessian = torch.func.jvp(torch.func.grad(lambda z: likelihood.log_prob(z)), (x,), (v,))[1]
    assert torch.allclose(likelihood.curvature(x, v), -hessian, rtol=1e-8)


@pytest.mark.parametrize("operator", [saturating(), network()], ids=["pointwise", "network"])
def test_the_steepness_is_the_curvature_along_a_direction(operator: Pointwise) -> None:
    x, v = (0.3 * random_element(operator.domain, (2,), seed) for seed in (0, 1))
    sigma = 0.1 + uniform(operator.range.shape)
    bare = Gaussian(operator, operator(x) + 0.1, sigma)
    likelihoods = [bare, Poisson(operator, operator(x).round().abs(), 0.5)]
    for likelihood in (*likelihoods, Interpolating(bare, 0.2)):
        assert not likelihood.linear
        along = (v * likelihood.curvature(x, v)).sum(dim=tuple(range(1, v.ndim)), keepdim=True)
        assert torch.allclose(likelihood.steepness(x, v), along, rtol=1e-8)


def test_the_mode_is_found_where_one_solve_is_not_enough() -> None:
    operator = saturating()
    truth, centre = (2 * random_element(operator.domain, (2,), seed) for seed in (0, 1))
    likelihood = Gaussian(operator, operator(truth), 0.05)
    damping = 0.01 + 0.1 * uniform(centre.shape)

    def slope(x: torch.Tensor) -> float:
        pull = likelihood.noise_scale**2 * likelihood.score(x) + damping * (centre - x)
        return float(pull.norm())

    found = consistent(likelihood, centre, 200, damping, diagonal=damping + 1)
    once = newton_direction(likelihood, centre, likelihood.score(centre), 200, damping)
    assert slope(found) < 1e-6 * slope(centre) < slope(centre + once)
    alone = Gaussian(operator, likelihood.y[1], 0.05)
    own = consistent(alone, centre[1], 7, damping[1])
    assert torch.allclose(consistent(likelihood, centre, 7, damping)[1], own, rtol=1e-9)


def test_on_a_linear_map_both_ways_to_the_mode_are_one() -> None:
    blur = saturating().operator
    same = Pointwise(blur, torch.nn.Identity())
    y, centre = (random_element(blur.domain, (), seed) for seed in (0, 1))
    damping = (0.1 + uniform(centre.shape)).requires_grad_()
    centre.requires_grad_()
    modes = [consistent(Gaussian(a, y, 0.1), centre, 200, damping) for a in (blur, same)]
    assert torch.allclose(*modes, rtol=1e-8)
    # at the mode, what moves the iterations moves the mode: their gradients agree too
    pulls = [torch.autograd.grad(mode, (centre, damping), y) for mode in modes]
    for one, other in zip(*pulls, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)


def test_what_was_recorded_serves_its_own_picture_alone() -> None:
    net = network()
    x, other = (random_element(net.domain, seed=seed) for seed in (1, 2))
    v = random_element(net.range, seed=3)
    fresh = network().vjp(other, v)
    net.vjp(x, v)
    assert torch.equal(net.vjp(other, v), fresh)
    assert torch.equal(net.vjp(other.clone(), 2 * v), 2 * fresh)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(twin.vjp(other, v), fresh)


def test_a_rim_runs_and_trains_on_it() -> None:
    operator = network("fire3", torch.float32)
    torch.manual_seed(0)
    rim = RIM(RIMConfig(channels=3, steps=2, newton_iterations=1, fine=4, coarse=4))
    x = 0.2 * random_element(operator.domain, (2,))
    likelihood = Gaussian(operator, operator(x), 0.05)
    estimates = rim(likelihood)
    (estimates[-1] - x).square().mean().backward()  # type: ignore[no-untyped-call]
    assert float(rim.cell.read.weight.grad.abs().max()) > 0  # type: ignore[union-attr]
    with torch.inference_mode():
        assert torch.allclose(rim(likelihood)[-1], estimates[-1], atol=1e-5)


def test_the_gain_brings_the_derivative_to_order_one() -> None:
    for layer in LAYERS[:4]:
        operator = network(layer)
        x = 0.2 * random_element(operator.domain, (), 7)
        signs = random_element(operator.domain, (8,), 3).sign()
        power = operator.linearised(x)(signs).square().sum() / 8 / operator.domain.size
        assert 0.1 < float(power) < 10


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(OptionError, match="conv1"):
        network("fire1")
    with pytest.raises(DataError, match=r"conv1\.weight"):
        SqueezeNet({}, "conv1", (32, 32))
    weights = {"conv1.weight": torch.ones(64, 3, 3, 3), "conv1.bias": torch.zeros(64)}
    with pytest.raises(ShapeError, match="larger"):
        SqueezeNet(weights, "conv1", (2, 2))
