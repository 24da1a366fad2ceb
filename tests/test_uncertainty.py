"""Laws of the error map: analytic for linear methods; scale, masks, pieces, seeds, doors."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rimaging import astro, image, mri
from rimaging.datasets.measurement import Measurement
from rimaging.errors import OptionError
from rimaging.method import Method
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.operators.likelihood import Likelihood
from rimaging.operators.poisson import Poisson
from rimaging.operators.target import gaussian_psf
from rimaging.reconstruct import reconstruct, run
from rimaging.solvers.cg_sense import cg_sense
from rimaging.solvers.wiener import wiener
from rimaging.uncertainty import Bootstrap, error_map_of, redrawn, smoothed

CPU = torch.device("cpu")
MANY = Bootstrap(100, seed=3)


def picture(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def itself(likelihood: Likelihood) -> Tensor:
    """The method that believes the data."""
    return likelihood.y


def test_of_wiener_it_is_variance_and_bias() -> None:
    """``x_b - x = (W A - 1) x + W n``: the filter's own variance, and what it takes from ``x``."""
    psf, sigma, shape = gaussian_psf(2.0), 0.1, (32, 30)

    def filtered(y: Tensor) -> Tensor:
        return wiener(y, psf, 0.05, boundary="circular")

    blur = Convolution(psf, shape, "circular")
    y = blur(picture(*shape)) + sigma * torch.randn(shape)
    x = filtered(y)
    impulse = torch.zeros(shape)
    impulse[0, 0] = 1
    variance = sigma**2 * filtered(impulse).square().sum()
    expected = (variance + (filtered(blur(x)) - x).square()).sqrt()
    found = error_map_of(Gaussian(blur, y, sigma), x, lambda again: filtered(again.y), MANY)
    assert torch.allclose(found, expected, rtol=0.3)
    assert float((found / expected).log().mean()) == pytest.approx(0, abs=0.02)
    assert float(expected.max() / expected.min()) > 1.3  # bias is not the same everywhere


def test_of_complex_least_squares_it_is_that_of_one_real_component() -> None:
    """CG-SENSE is ``R y``: a pixel's standard deviation is ``sigma sqrt((R R*)_ii)``."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 8, 8, dtype=torch.complex64, generator=generator)
    maps = maps / maps.abs().square().sum(0, keepdim=True).sqrt()
    mask = (torch.arange(8) % 2 == 0).float().expand(8, 8)
    operator = CartesianMRI(maps, mask)
    sigma = torch.tensor([0.1, 0.2, 0.3])[:, None, None]

    def solved(y: Tensor) -> Tensor:
        shared = maps.expand(*y.shape[:-3], 3, 8, 8)
        return cg_sense(y, mask, shared, damping=0.1, iterations=30)

    impulses = torch.eye(3 * 64, dtype=torch.complex64).reshape(-1, 3, 8, 8)
    powers = solved(mask * impulses).abs().square()
    variance = (powers * (sigma.square() * mask).reshape(-1, 1, 1)).sum(0)
    x = torch.zeros(8, 8, dtype=torch.complex64)  # without bias: R A 0 = 0
    likelihood = Gaussian(operator, operator(x), sigma)
    how = Bootstrap(150)
    found = error_map_of(likelihood, x, lambda again: solved(again.y), how)
    assert torch.allclose(found, variance.sqrt(), rtol=0.3)
    assert float((found.square() / variance).mean()) == pytest.approx(1, abs=0.05)


@given(power=st.integers(-60, 60), seed=st.integers(0, 99))
def test_the_map_scales_with_data_and_noise(power: int, seed: int) -> None:
    """Also where the squares of the squares leave single precision."""
    c = 2.0**power
    y, sigma = picture(9, 7, seed=seed), 0.1 + picture(9, 7, seed=seed + 100)

    def of(scale: float) -> Tensor:
        likelihood = Gaussian(Identity((9, 7)), scale * y, scale * sigma)
        return error_map_of(likelihood, scale * y, itself, Bootstrap(3, seed))

    assert torch.allclose(of(c), c * of(1.0), rtol=1e-5, atol=0)


def test_what_was_not_measured_is_not_redrawn() -> None:
    """Pixels of no weight keep what the method saw there; sigma goes with its pixel."""
    weight = (picture(24, 24) > 0.3).float()
    sigma = torch.where(weight > 0, 1 + picture(24, 24, seed=1), torch.inf)
    y = picture(24, 24, seed=2)
    likelihood = Gaussian(Identity((24, 24)), y, sigma, weight=weight)
    (generator,) = MANY.generators(1)
    draws = torch.stack([redrawn(likelihood, 7 + y, [generator]) for _ in range(400)])
    hidden = weight == 0
    assert torch.equal(draws[:, hidden], y[hidden].expand(400, -1))
    assert torch.allclose(draws.std(0)[~hidden], sigma[~hidden], rtol=0.2)
    assert torch.allclose(draws.mean(0)[~hidden], (7 + y)[~hidden], atol=0.5)


def test_photons_are_drawn_as_photons() -> None:
    x = 20 * picture(40, 40)
    likelihood = Poisson(Identity((40, 40)), torch.full((40, 40), 3.0), 5.0)
    (generator,) = MANY.generators(1)
    draws = torch.stack([redrawn(likelihood, x, [generator]) for _ in range(200)])
    assert bool((draws == draws.round()).all())
    for moment in (draws.mean(0), draws.var(0)):
        assert float((moment / (x + 5)).mean()) == pytest.approx(1, abs=0.02)
    below = redrawn(likelihood, x - 1000, [generator])  # no rate is below a tenth of the background
    assert float(below.mean()) == pytest.approx(0.5, abs=0.1)


def test_noise_between_coils_is_drawn_with_its_covariance() -> None:
    factor = torch.randn(3, 3, dtype=torch.complex64, generator=torch.Generator().manual_seed(2))
    covariance = factor @ factor.mH + torch.eye(3)
    maps = torch.ones(3, 32, 32, dtype=torch.complex64)
    operator = CartesianMRI(maps, torch.ones(32, 32))
    y = torch.zeros(3, 32, 32, dtype=torch.complex64)
    likelihood = Gaussian(operator, y, 0.5, coil_covariance=covariance)
    drawn = redrawn(likelihood, torch.zeros(32, 32, dtype=torch.complex64), MANY.generators(1))
    samples = drawn.flatten(1)
    found = samples @ samples.mH / (2 * samples.shape[1])
    assert torch.allclose(found, 0.25 * covariance, atol=0.05 * float(covariance.abs().max()))


def test_few_draws_of_a_flat_map_are_averaged_and_a_peak_is_kept() -> None:
    generator = torch.Generator().manual_seed(5)
    draws = torch.randn(8, 60, 60, generator=generator).square().mean(0)
    flat = smoothed(draws, 2 / 8)
    assert float(flat[2:-2, 2:-2].std()) < 0.4 * float(draws.std())
    assert float(flat.mean()) == pytest.approx(1, abs=0.03)
    draws[30, 30] = 1e4
    peaked = smoothed(draws, 2 / 8)
    assert float(peaked[30, 30]) > 0.7e4
    assert torch.equal(peaked[:28], flat[:28])  # a local rule


def test_pieces_and_seeds(real_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measurement = Measurement(kind="image", data=picture(3, 16, 18), noise=0.1)
    whole = reconstruct(measurement, real_weights, error_map=2).uncertainty
    other = reconstruct(measurement, real_weights, error_map=Bootstrap(2, seed=1)).uncertainty
    likelihood = reconstruct(measurement.likelihood(), real_weights, error_map=2).uncertainty
    monkeypatch.setattr("rimaging.datasets.pieces.CPU_PIECE", 1)
    parts = reconstruct(measurement, real_weights, error_map=2)
    assert isinstance(whole, Tensor) and isinstance(other, Tensor)
    assert torch.allclose(whole, parts.uncertainty, rtol=1e-3, atol=1e-6)  # type: ignore[arg-type]
    assert torch.allclose(whole, likelihood, rtol=1e-3, atol=1e-6)  # type: ignore[arg-type]
    assert not torch.allclose(whole, other, rtol=0.05)
    assert not torch.allclose(whole[0], whole[1], rtol=0.05)  # each slice its own noise
    assert whole.shape == (3, 16, 18) and bool((whole > 0).all())
    assert parts.provenance["error_map"] == {"replicates": 2, "seed": 0}
    assert reconstruct(measurement, real_weights).uncertainty is None


def test_a_method_of_measurements_sees_the_redrawn_data() -> None:
    """Of the classical methods that take no likelihood, with photons: data are counts less sky."""
    sky = torch.full((40, 40), 30.0)

    def build(piece: Measurement) -> Poisson:
        return Poisson(Identity((40, 40)), piece.data + 100, 100.0)

    def solve(piece: Measurement | None, likelihood: Poisson) -> list[Tensor]:
        assert piece is not None and torch.equal(piece.data + 100, likelihood.y)
        return [piece.data]

    result = run(
        Measurement(kind="image", data=sky, noise=10.0),
        Method(name="data", solve=solve),
        build=build,
        device=CPU,
        error_map=40,
    )
    assert isinstance(result.uncertainty, Tensor)
    assert float(result.uncertainty.mean()) == pytest.approx(math.sqrt(130), rel=0.03)


def test_the_sky_comes_back_in_its_units() -> None:
    """Gain, crop and level: the error is in the units of the image, the level is not in it."""
    generator = torch.Generator().manual_seed(0)
    counts = torch.poisson(torch.full((32, 30), 400.0), generator=generator)
    given = {"method": "wiener", "noise_to_signal": 1e-3, "background": 100.0, "error_map": 8}
    plain = astro.deconvolve(counts / 4, 2.5, noise=5.0, target=2.0, **given)  # type: ignore[arg-type]
    photons = astro.deconvolve(counts / 4, 2.5, gain=4.0, target=2.0, **given)  # type: ignore[arg-type]
    assert isinstance(plain.uncertainty, Tensor) and isinstance(photons.uncertainty, Tensor)
    assert plain.uncertainty.shape == plain.image.shape
    ratio = float(photons.uncertainty.mean() / plain.uncertainty.mean())
    assert ratio == pytest.approx(1, abs=0.1)
    assert float(plain.uncertainty.max()) < 50
    valid = astro.deconvolve(counts / 4, 2.5, noise=5.0, target=2.0, boundary="valid", **given)  # type: ignore[arg-type]
    assert valid.uncertainty.shape == valid.image.shape  # type: ignore[union-attr]


@pytest.mark.parametrize("volume", [False, True])
def test_an_mr_image_has_one_of_its_size(volume: bool, complex_weights: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    kspace = torch.randn(2, 4, 16, 12, dtype=torch.complex64, generator=generator)
    mask = (torch.arange(12) % 3 > 0).float()
    given = {"noise": 0.1, "weights": complex_weights, "volume": volume, "error_map": 2}
    maps = torch.ones(2, 4, 16, 12, dtype=torch.complex64) / math.sqrt(2 if volume else 4)
    result = mri.reconstruct(kspace * mask, mask, maps, **given)  # type: ignore[arg-type]
    error = result.uncertainty
    assert isinstance(error, Tensor) and error.dtype == torch.float32
    assert error.shape == result.image.shape and bool((error > 0).all())


def test_colour_goes_out_as_it_came_and_is_saved_beside_its_image(tmp_path: Path) -> None:
    colour = (255 * picture(20, 18, 3)).to(torch.uint8).numpy()
    result = image.denoise(colour, 10.0, method="tv", steps=5, error_map=2)
    assert isinstance(result.uncertainty, np.ndarray)
    assert result.uncertainty.shape == (20, 18, 3) and 0.5 < result.uncertainty.mean() < 20
    with np.load(result.save(tmp_path / "out.npz")) as saved:
        assert np.array_equal(saved["uncertainty"], result.uncertainty)
        assert np.array_equal(saved["image"], result.image)
    assert "Error map" in result.report(tmp_path / "page.html").read_text()


@pytest.mark.parametrize("bad", [0, 1, -8, True, Bootstrap])
def test_too_few_are_refused(bad: object) -> None:
    with pytest.raises(OptionError, match="8 for example"):
        if bad is Bootstrap:
            Bootstrap(1)
        image.denoise(picture(16, 16), 0.1, method="tv", error_map=bad)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="seed"):
        Bootstrap(8, seed=-1)


def test_a_likelihood_of_other_data_leaves_the_first_as_it_was() -> None:
    first = Gaussian(Identity((5, 5)), picture(5, 5), 0.1)
    y = picture(5, 5, seed=1)
    second = first.observing(y)
    fresh = Gaussian(Identity((5, 5)), y, 0.1)
    x = picture(5, 5, seed=2)
    assert torch.equal(second.score(x), fresh.score(x))
    assert torch.equal(first.y, picture(5, 5)) and not torch.equal(first.score(x), second.score(x))
