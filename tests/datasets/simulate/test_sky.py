"""Laws of simulated telescope images."""

import pytest
import torch

from rimaging.datasets.operator_card import load_operator_card
from rimaging.datasets.simulate.sky import DEFAULTS, Sky
from rimaging.errors import CardError

pytest.importorskip("galsim")
SMALL = {"galaxies": 12, "versions": 1, "kernels": 6}


@pytest.fixture(scope="module")
def build(data_root):
    def make(**parameters):
        return Sky({**SMALL, **parameters}, data_root, "validation")

    return make


def test_the_generator_alone_decides(build):
    sampler = build()
    one = sampler(torch.Generator().manual_seed(1), 4, 64)
    sampler(torch.Generator().manual_seed(9), 2, 48)
    again = sampler(torch.Generator().manual_seed(1), 4, 64)
    other = sampler(torch.Generator().manual_seed(2), 4, 64)
    assert torch.equal(one[0].y, again[0].y) and torch.equal(one[1], again[1])
    assert not torch.equal(one[1], other[1])


@pytest.mark.parametrize("boundary", ["zero", "valid", "reflect"])
def test_noise_is_the_declared_one(build, boundary):
    sampler = build(boundary=boundary, poisson=0)
    generator = torch.Generator().manual_seed(3)
    for _ in range(4):
        likelihood, truth = sampler(generator, 6, 64)
        assert truth.shape == (6, 64, 64) and torch.isfinite(truth).all()
        pixels = likelihood.y.shape[-1] * likelihood.y.shape[-2]
        # Rounding of float32 adds to chi2 where the brightest star has 10^5 sigma.
        assert torch.allclose(
            likelihood.chi2(truth), torch.ones(6), atol=6 * (2 / pixels) ** 0.5 + 0.02
        )


def test_photon_noise_is_nearly_the_estimated_one(build):
    likelihood, truth = build(poisson=1, boundary="zero")(torch.Generator().manual_seed(4), 16, 64)
    chi2 = likelihood.chi2(truth)
    assert 0.85 < float(chi2.median()) < 1.15 and float(chi2.max()) < 1.6
    precision = likelihood.precision.expand_as(likelihood.y)
    assert bool((precision.amin(dim=(-2, -1)) < precision.amax(dim=(-2, -1))).any())


def test_single_galaxies_have_the_declared_signal_to_noise(build):
    sampler = build(stamp=1, snr=50, poisson=0, boundary="zero", scale=1)
    likelihood, truth = sampler(torch.Generator().manual_seed(5), 12, 64)
    snr = likelihood.operator(truth).square().sum(dim=(-2, -1)).sqrt()
    assert (snr > 25).all() and (snr < 100).all()


def test_fields_reach_the_declared_brightness(build):
    sampler = build(stamp=0, field=1, stars=1, slope=0.5, sources=40, brightest=1e4, scale=1)
    _, truth = sampler(torch.Generator().manual_seed(6), 8, 64)
    peak = truth.amax(dim=(-2, -1))
    assert float(peak.max()) > 500 and float(truth.min()) >= 0


def test_scale_moves_image_truth_and_noise_together(build):
    one, truth = build(scale=1)(torch.Generator().manual_seed(7), 3, 48)
    ten, larger = build(scale=10)(torch.Generator().manual_seed(7), 3, 48)
    assert torch.allclose(larger, 10 * truth, rtol=1e-5)
    assert torch.allclose(ten.y, 10 * one.y, rtol=1e-5)
    assert torch.allclose(ten.noise_scale, 10 * one.noise_scale, rtol=1e-5)


def test_the_card_is_the_sampler():
    card = load_operator_card("sky-psf")
    card.check_parameters(tuple(DEFAULTS))
    assert card.sampler == "sky"


def test_unknown_parameters_are_refused(data_root):
    with pytest.raises(CardError, match="does not know 'seeing'"):
        Sky({"seeing": 3}, data_root)


@pytest.mark.parametrize("boundary", ["zero", "valid"])
def test_the_second_of_a_pair_has_a_star_more_and_the_same_noise(build, boundary):
    sampler = build(pairs=1, extra=200.0, poisson=0, scale=1, boundary=boundary)
    likelihood, truth = sampler(torch.Generator().manual_seed(6), 8, 64)
    assert truth.shape == (2, 4, 64, 64) and likelihood.y.shape[:2] == (2, 4)
    star = truth[1] - truth[0]
    seen = likelihood.operator(truth)
    assert torch.allclose(likelihood.y[1] - likelihood.y[0], seen[1] - seen[0], atol=0.02)
    # its significance is what was asked for, less what the target PSF spreads
    power = (seen[1] - seen[0]).square().sum(dim=(-2, -1)).sqrt()
    assert (power > 60).all() and (power < 201).all()
    place = star.flatten(1).argmax(dim=1)
    for line in (place // 64, place % 64):
        assert (line >= 15).all() and (line <= 49).all()


def test_pairs_with_photon_noise_are_as_noisy_as_they_say(build):
    sampler = build(pairs=1, extra=50.0, poisson=1, boundary="zero")
    likelihood, truth = sampler(torch.Generator().manual_seed(7), 16, 64)
    chi2 = likelihood.chi2(truth)
    assert chi2.shape == (2, 8) and 0.8 < float(chi2.median()) < 1.2
