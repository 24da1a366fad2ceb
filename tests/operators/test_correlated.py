"""Laws of noise that correlates between pixels."""

from __future__ import annotations

import pytest
import torch

from rimaging.errors import DataError, ShapeError
from rimaging.operators.convolution import Convolution
from rimaging.operators.correlated import CorrelatedGaussian, NoiseCorrelation
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.target import gaussian_psf
from rimaging.uncertainty import Bootstrap, redrawn

STENCIL = torch.tensor([0.25, 1.0, 0.25])
DRIZZLED = NoiseCorrelation.of(STENCIL[:, None] * STENCIL[None, :])


def noise(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_coloured_noise_correlates_as_stated_and_whitens_again() -> None:
    white = noise((8, 90, 101))
    found = DRIZZLED.coloured(white)
    assert float(found.square().mean()) == pytest.approx(1, abs=0.02)
    for y, x in ((0, 1), (1, 0), (1, 1), (2, 0), (0, 3)):
        lag = float((found * found.roll((y, x), (-2, -1))).mean())
        inside = max(y, x) <= 2
        stated = float(DRIZZLED.lags[2 + y, 2 + x]) if inside else 0.0
        assert lag == pytest.approx(stated, abs=0.02)
    assert torch.allclose(DRIZZLED.whitened(found), white, atol=1e-4)


def test_the_density_is_the_variance_of_a_fitted_flux() -> None:
    psf = gaussian_psf(3.0)
    found = DRIZZLED.coloured(noise((64, 45, 44), 1)).double()
    kernel = psf.double()[None, None]
    flux = torch.nn.functional.conv2d(found[:, None], kernel) / kernel.square().sum()
    white = 1 / float(kernel.square().sum())
    assert float(flux.square().mean()) / white == pytest.approx(DRIZZLED.density(psf), rel=0.05)
    assert NoiseCorrelation(torch.ones(1, 1)).density(psf) == pytest.approx(1)
    point = torch.zeros(9, 9)
    point[4, 4] = 1
    assert DRIZZLED.density(point) == pytest.approx(1, rel=1e-3)


def test_the_likelihood_is_that_of_white_noise_of_this_density() -> None:
    operator = Convolution(gaussian_psf(2.5), (40, 42), "reflect")
    x, y = noise((40, 42), 2), noise((40, 42), 3)
    density = DRIZZLED.density(gaussian_psf(3.0))
    weight = (noise((40, 42), 4) > -1).float()
    ours = CorrelatedGaussian(operator, y, 0.5, DRIZZLED, density, weight)
    white = Gaussian(operator, y, 0.5 * density**0.5, weight)
    assert torch.equal(ours.score(x), white.score(x))
    assert torch.equal(ours.noise_scale, white.noise_scale)


def test_its_residual_and_its_draws_have_the_spectrum_of_the_noise() -> None:
    operator = Convolution(gaussian_psf(2.5), (6, 64, 65)[1:], "reflect")
    truth = noise((6, 64, 65), 5).cumsum(-1)
    y = operator(truth) + 0.3 * DRIZZLED.coloured(noise((6, 64, 65), 6))
    ours = CorrelatedGaussian(operator, y, 0.3, DRIZZLED, DRIZZLED.density(gaussian_psf(3.0)))
    left = ours.weighted_residual(truth)
    assert float((left[..., 1:] * left[..., :-1]).mean()) == pytest.approx(0, abs=0.02)
    assert torch.allclose(ours.chi2(truth), torch.ones(6), atol=0.1)
    again = redrawn(ours, truth, Bootstrap(2).generators(6)) - operator(truth)
    assert float(again.std()) == pytest.approx(0.3, rel=0.03)
    beside = float((again[..., 1:] * again[..., :-1]).mean()) / 0.3**2
    assert beside == pytest.approx(DRIZZLED.at(1), abs=0.03)


def test_what_is_no_correlation_is_refused() -> None:
    with pytest.raises(ShapeError, match="odd sides"):
        NoiseCorrelation(torch.ones(4, 5))
    with pytest.raises(DataError, match="largest in its centre"):
        NoiseCorrelation(1 - torch.eye(3))
