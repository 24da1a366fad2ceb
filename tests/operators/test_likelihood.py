from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rimaging.errors import DataError, ShapeError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian, with_own_noise
from rimaging.operators.identity import Identity
from rimaging.operators.likelihood import Likelihood
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.poisson import Poisson
from rimaging.operators.projection import RandomProjection
from rimaging.operators.resampling import Bicubic
from rimaging.operators.sampling import Sampling
from rimaging.testing import assert_score, random_element

BATCH = (2,)


def uniform(*shape: int, seed: int = 0) -> Tensor:
    """Numbers between 0.5 and 1.5."""
    generator = torch.Generator().manual_seed(seed)
    return 0.5 + torch.rand(shape, generator=generator, dtype=torch.float64)


def mri(ndim: int = 2) -> CartesianMRI:
    shape = (4, 5, 6)[-ndim:]
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn((*BATCH, 3, *shape), generator=generator, dtype=torch.complex128)
    mask = torch.rand((*BATCH, *shape), generator=generator) > 0.4
    return CartesianMRI(maps, mask, ndim=ndim)


def operators() -> dict[str, LinearOperator]:
    double = torch.float64
    return {
        "identity": Identity((5, 6), double),
        "complex identity": Identity((5, 6), torch.complex128),
        "sampling": Sampling(uniform(2, 5, 6) > 0.9, dtype=double),
        "convolution": Convolution(uniform(2, 3, 5), (5, 6), "valid"),
        "bicubic": Bicubic((6, 7), 2, dtype=double),
        "projection": RandomProjection((5, 6), 7, dtype=double),
        "mri": mri(),
        "mri 3-D": mri(ndim=3),
        "composition": 0.7 * Bicubic((5, 6), 2, dtype=double) @ Convolution(uniform(3, 3), (5, 6)),
    }


def noise(operator: LinearOperator, kind: str) -> dict[str, Tensor | float]:
    shape = operator.range.shape
    generator = torch.Generator().manual_seed(2)
    weight = (torch.rand((*BATCH, *shape), generator=generator) > 0.3).double()
    return {
        "number": {"sigma": 0.3},
        "item": {"sigma": uniform(*BATCH, *(1 for _ in shape))},
        "pixel": {"sigma": uniform(*BATCH, *shape)},
        "weight": {"sigma": 0.3, "weight": weight},
        "leading axis": {"sigma": uniform(shape[0], *(1 for _ in shape[1:]))},
    }[kind]


def covariance(coils: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    samples = torch.randn(coils, 4 * coils, generator=generator, dtype=torch.complex128)
    return samples @ samples.mH / (4 * coils)


@pytest.mark.parametrize("name", list(operators()))
@pytest.mark.parametrize("kind", ["number", "item", "pixel", "weight", "leading axis"])
def test_the_gaussian_score_is_the_gradient(name: str, kind: str) -> None:
    operator = operators()[name]
    y = random_element(operator.range, BATCH, seed=5)
    x = random_element(operator.domain, BATCH, seed=6)
    assert_score(Gaussian(operator, y, **noise(operator, kind)), x)  # type: ignore[arg-type]


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_score_with_correlated_coils_is_the_gradient(ndim: int) -> None:
    operator = mri(ndim)
    y = random_element(operator.range, BATCH)
    sigma = uniform(3, *(1 for _ in range(ndim)))
    likelihood = Gaussian(operator, y, sigma, coil_covariance=covariance(3))
    assert_score(likelihood, random_element(operator.domain, BATCH, seed=1))


def test_white_coils_after_whitening() -> None:
    """A covariance is the same as whitening the data and the maps beforehand."""
    operator = mri()
    y = random_element(operator.range, BATCH)
    x = random_element(operator.domain, BATCH, seed=1)
    whitener = torch.linalg.inv(torch.linalg.cholesky(covariance(3)))
    whitened = CartesianMRI(
        torch.einsum("ij,bjyx->biyx", whitener, operator.maps), operator.mask.squeeze(-3)
    )
    before = Gaussian(whitened, torch.einsum("ij,bjyx->biyx", whitener, y), 0.3)
    after = Gaussian(operator, y, 0.3, coil_covariance=covariance(3))
    torch.testing.assert_close(after.score(x), before.score(x))
    torch.testing.assert_close(after.log_prob(x), before.log_prob(x))


def precision_matrix(likelihood: Likelihood, x: Tensor) -> Tensor:
    """The curvature column by column, ``(pixels, pixels)`` of the first item."""
    size = likelihood.operator.domain.size
    columns = []
    for unit in torch.eye(size, dtype=x.dtype):
        v = unit.reshape(1, *likelihood.operator.domain.shape).expand_as(x)
        columns.append(likelihood.curvature(x, v)[0].flatten())
    return torch.stack(columns, dim=1)


@pytest.mark.parametrize("name", list(operators()))
@pytest.mark.parametrize("kind", ["item", "weight"])
def test_curvature_is_minus_the_hessian_and_information_its_diagonal(name: str, kind: str) -> None:
    operator = operators()[name]
    y = random_element(operator.range, BATCH, seed=5)
    likelihood = Gaussian(operator, y, **noise(operator, kind))  # type: ignore[arg-type]
    x, v = (random_element(operator.domain, BATCH, seed) for seed in (6, 7))
    difference = likelihood.score(x) - likelihood.score(x + v)
    torch.testing.assert_close(likelihood.curvature(x, v), difference)
    along = (v.conj() * difference).real.flatten(len(BATCH)).sum(-1)
    torch.testing.assert_close(likelihood.steepness(x, v).flatten(len(BATCH)).squeeze(-1), along)
    if name == "composition":
        return  # its information is an estimate
    matrix = precision_matrix(likelihood, x)
    information = likelihood.information().expand(x.shape)[0].flatten()
    torch.testing.assert_close(information, matrix.diagonal().real)


@pytest.mark.parametrize("name", ["identity", "mri", "sampling", "convolution"])
@pytest.mark.parametrize("kind", ["number", "item", "pixel", "weight"])
def test_scaling_data_and_noise_scales_the_estimate(name: str, kind: str) -> None:
    """(c y, c sigma) at c x: exactly the same log_prob and chi2, and the score over c."""
    operator = operators()[name]
    options = noise(operator, kind)
    y, x = random_element(operator.range, BATCH), random_element(operator.domain, BATCH, 1)
    scaled = {**options, "sigma": 8 * options["sigma"]}
    once, eight = Gaussian(operator, y, **options), Gaussian(operator, 8 * y, **scaled)  # type: ignore[arg-type]
    assert torch.equal(once.log_prob(x), eight.log_prob(8 * x))
    assert torch.equal(once.chi2(x), eight.chi2(8 * x))
    assert torch.equal(once.score(x), 8 * eight.score(8 * x))
    assert torch.equal(8 * once.noise_scale, eight.noise_scale)


@pytest.mark.parametrize("name", ["identity", "mri", "mri 3-D", "sampling"])
def test_chi2_of_the_truth_is_one(name: str) -> None:
    """Over what was measured; k-space outside the mask does not count, whatever it holds."""
    operator = operators()[name]
    x = random_element(operator.domain, (2,))
    sigma = uniform(2, *(1 for _ in operator.range.shape))
    trials = []
    for seed in range(100):
        n = random_element(operator.range, (2,), seed=seed)
        if n.is_complex():
            n = n * 2**0.5  # torch's complex normal numbers have variance one in all
        trials.append(Gaussian(operator, operator(x) + sigma * n, sigma).chi2(x))
    mean = torch.stack(trials).mean(dim=0)
    measured = torch.ones(2, *operator.range.shape)
    if operator.measured is not None:
        measured = measured * operator.measured
    components = measured.flatten(1).sum(1) * (2 if operator.range.is_complex else 1)
    assert bool(((mean - 1).abs() < 5 * (2 / components / 100).sqrt()).all())


def test_a_weight_equal_to_the_mask_changes_nothing() -> None:
    operator = mri()
    y = random_element(operator.range, BATCH)
    x = random_element(operator.domain, BATCH, seed=1)
    plain, weighted = Gaussian(operator, y, 0.3), Gaussian(operator, y, 0.3, operator.measured)
    for method in ("score", "log_prob", "chi2"):
        torch.testing.assert_close(getattr(plain, method)(x), getattr(weighted, method)(x))


def test_masked_pixels_have_no_say() -> None:
    operator = Identity((4, 5), torch.float64)
    weight = (uniform(4, 5) > 1).double()
    y, other = uniform(4, 5), torch.where(weight > 0, uniform(4, 5), 1e6)
    x = uniform(4, 5, seed=1)
    sigma = torch.where(weight > 0, 0.2, torch.nan)
    first, second = (Gaussian(operator, data, sigma, weight) for data in (y, other))
    assert torch.equal(first.score(x), second.score(x))
    assert torch.equal(first.chi2(x), second.chi2(x))
    assert bool((first.score(x)[weight == 0] == 0).all())
    torch.testing.assert_close(first.noise_scale, torch.full((1, 1), 0.2, dtype=torch.float64))


@given(seed=st.integers(0, 100))
def test_the_noise_scale_lies_within_the_noise(seed: int) -> None:
    sigma = uniform(2, 5, 6, seed=seed)
    likelihood = Gaussian(Identity((5, 6), torch.float64), uniform(2, 5, 6), sigma)
    scale = likelihood.noise_scale
    assert scale.shape == (2, 1, 1)
    assert bool((scale >= sigma.amin((1, 2), keepdim=True)).all())
    assert bool((scale <= sigma.amax((1, 2), keepdim=True)).all())


def test_an_item_without_any_measured_pixel_is_harmless() -> None:
    """Its scale is one, not that of no precision at all: nothing comes of it, least of all 1e19."""
    weight = torch.ones(2, 5, 6)
    weight[1] = 0
    likelihood = Gaussian(Identity((5, 6), torch.float32), torch.ones(2, 5, 6), 0.5, weight)
    assert likelihood.noise_scale.flatten().tolist() == [0.5, 1.0]


@pytest.mark.parametrize("weighted", [False, True])
def test_the_poisson_score_is_the_gradient(weighted: bool) -> None:
    operator = Convolution(uniform(2, 3, 3), (5, 6), "valid")
    counts = torch.poisson(5 * uniform(2, 5, 6), torch.Generator().manual_seed(0))
    weight = (uniform(2, 5, 6, seed=3) > 0.8).double() if weighted else None
    likelihood = Poisson(operator, counts, uniform(2, 1, 1), weight)
    bright = uniform(2, 7, 8)
    negative = random_element(operator.domain, BATCH, seed=1)  # clamped rates in some pixels
    assert_score(likelihood, bright)
    assert_score(likelihood, negative)


def test_the_poisson_score_vanishes_where_rates_are_counts() -> None:
    operator = Convolution(uniform(3, 3), (5, 6), "circular")
    x = uniform(5, 6)
    likelihood = Poisson(operator, operator(x) + 0.5, 0.5)
    torch.testing.assert_close(likelihood.score(x), torch.zeros(5, 6, dtype=torch.float64))
    assert float(likelihood.chi2(x)) < 1e-20
    v = random_element(operator.domain)
    expected = operator.adjoint(operator(v) / (operator(x) + 0.5))  # where counts are rates
    torch.testing.assert_close(likelihood.curvature(x, v), expected)


def test_zeros_start_like_the_measurement() -> None:
    operator = mri()
    likelihood = Gaussian(operator, random_element(operator.range, BATCH), 1.0)
    zeros = likelihood.zeros()
    assert zeros.shape == (2, 5, 6) and zeros.dtype == torch.complex128
    assert not zeros.any()


def test_a_likelihood_moves_to_another_precision_of_data() -> None:
    operator = Identity((4, 5))
    likelihood = Gaussian(operator, torch.zeros(4, 5), 0.5)
    assert likelihood.double().score(torch.zeros(4, 5, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_refuses_impossible_noise(sigma: float) -> None:
    with pytest.raises(DataError, match="finite and above zero"):
        Gaussian(Identity((4, 5)), torch.zeros(4, 5), sigma)


def test_refuses_what_does_not_fit() -> None:
    identity, y = Identity((4, 5)), torch.zeros(2, 4, 5)
    with pytest.raises(ShapeError, match=r"sigma of shape \(3, 1, 1\)"):
        Gaussian(identity, y, torch.ones(3, 1, 1))
    with pytest.raises(ShapeError, match=r"weight of shape \(5, 4\)"):
        Gaussian(identity, y, 1.0, torch.ones(5, 4))
    with pytest.raises(ShapeError, match=r"measurement expects \(\.\.\., 4, 5\)"):
        Gaussian(identity, torch.zeros(5, 4), 1.0)
    with pytest.raises(DataError, match="counts >= 0"):
        Poisson(identity, y - 1, 1.0)
    with pytest.raises(DataError, match="background > 0"):
        Poisson(identity, y, 0.0)


def test_refuses_impossible_covariances() -> None:
    operator = mri()
    y = random_element(operator.range, BATCH)
    with pytest.raises(ShapeError, match=r"must be \(3, 3\)"):
        Gaussian(operator, y, 1.0, coil_covariance=torch.eye(2))
    with pytest.raises(DataError, match="more noise samples than coils"):
        Gaussian(operator, y, 1.0, coil_covariance=torch.ones(3, 3))


def test_an_error_with_its_residual_has_the_noise_of_each_pixel() -> None:
    """Bias and noise add up in quadrature: of ``e^2 = b^2 + s^2`` comes ``b^2 + sigma_i^2``."""
    sigma, weight = torch.tensor([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0]]), torch.ones(2, 3)
    weight[0, 2] = 0
    likelihood = Gaussian(Identity((2, 3), torch.float32), torch.zeros(2, 3), sigma, weight)
    scale = likelihood.noise_scale
    bias = torch.tensor([[3.0, 3.0, 3.0], [0.0, 5.0, 0.0]])
    error = (bias.square() + scale.square()).sqrt()
    wanted = torch.where(weight > 0, (bias.square() + sigma.square()).sqrt(), error)
    assert torch.allclose(with_own_noise(error, likelihood, scale), wanted, rtol=1e-5)
    low = with_own_noise(torch.full((2, 3), 1e-3), likelihood, scale)
    assert bool((low >= 0.899 * sigma)[weight > 0].all()) and float(low[1, 0]) < 0.901
    alike = Gaussian(Identity((2, 3), torch.float32), torch.zeros(2, 3), 2.0)
    assert torch.equal(with_own_noise(error, alike, alike.noise_scale), error)
