"""Injected sources: exact flux, place, shape, and one way through the PSF."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rimaging.operators.convolution import Convolution
from rimaging.operators.target import gaussian_psf, relative_kernel
from rimaging.reports.galaxies import adaptive_moments
from rimaging.validate.sources import Catalogue, seen_by_psf, seen_by_target, stars

phases = st.floats(-0.5, 0.5)


def one(scale: float = 0.0, g1: float = 0.0, g2: float = 0.0) -> Catalogue:
    values = (30.25, 28.7, 50.0, scale, g1, g2)
    names = ("x", "y", "flux", "scale", "g1", "g2")
    return Catalogue(**{n: torch.tensor([v]) for n, v in zip(names, values, strict=True)})


@settings(max_examples=5)
@given(phases, phases)
def test_a_star_has_its_flux_and_its_place_at_every_phase(dx: float, dy: float) -> None:
    star = stars(torch.tensor([30 + dx]), torch.tensor([32 + dy]), torch.tensor([7.0]))
    for image in (
        seen_by_psf(star, gaussian_psf(3.0), (65, 61)),
        seen_by_target(star, 2.0, 41, (65, 61)),
    ):
        x = float((image * torch.arange(61.0)).sum()) / 7
        y = float((image * torch.arange(65.0)[:, None]).sum()) / 7
        assert abs(float(image.sum()) - 7) < 1e-3
        assert abs(x - 30 - dx) < 3e-3 and abs(y - 32 - dy) < 3e-3


def test_the_target_and_the_relative_kernel_lead_to_the_psf() -> None:
    psf = gaussian_psf(4.0)
    for source in (one(), one(scale=1.5, g1=0.2, g2=-0.1)):
        seen = seen_by_psf(source, psf, (64, 64))
        sharp = seen_by_target(source, 2.0, 61, (64, 64))
        again = Convolution(relative_kernel(psf, 2.0), (64, 64), "zero")(sharp)
        assert float((again - seen).abs().max()) < 3e-3 * float(seen.max())


def test_a_disc_has_the_shape_that_was_asked_for_and_a_lens_adds_to_it() -> None:
    image = seen_by_target(one(scale=4.0, g1=0.2, g2=-0.1), 2.0, 61, (61, 61))
    found = adaptive_moments(image)
    assert 0.15 < float(found.g1) < 0.2 and -0.1 < float(found.g2) < -0.07
    lensed = one().sheared(0.02, -0.03)
    assert torch.allclose(lensed.g1, torch.tensor([0.02]))
    twice = one(g1=0.3).sheared(0.1, 0.0)
    assert torch.allclose(twice.g1, torch.tensor([0.4 / 1.03]))


def test_a_narrow_target_is_sampled_not_band_limited() -> None:
    star = stars(torch.tensor([20.0]), torch.tensor([20.0]), torch.tensor([1.0]))
    image = seen_by_target(star, 1.2, 41, (41, 41))
    wanted = gaussian_psf(1.2)
    assert torch.allclose(image[17:24, 17:24], wanted, atol=1e-4) and float(image.min()) > -1e-5


def test_sources_outside_are_left_out_and_those_at_the_edge_are_cut() -> None:
    places = torch.tensor([-3.0, 0.0, 70.0])
    image = seen_by_psf(stars(places, places.clone(), torch.ones(3)), gaussian_psf(3.0), (30, 30))
    assert 0.2 < float(image.sum()) < 0.5
