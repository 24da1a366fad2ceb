"""Pixels that a denoiser never saw missing: what is there does not matter, others stay."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rimaging import image
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.sampling import Sampling
from rimaging.rim.weights import load_weights
from rimaging.solvers.smooth_start import smooth_start

SHAPE = (48, 40)
SIGMA = 10.0


def scene() -> Tensor:
    y, x = torch.linspace(-1, 1, SHAPE[0]), torch.linspace(-1, 1, SHAPE[1])
    return 150 + 60 * torch.sin(3 * y[:, None] + 2 * x)


def noisy(*lead: int) -> Tensor:
    return scene() + SIGMA * torch.randn(*lead, *SHAPE, generator=torch.Generator().manual_seed(0))


def holes(share: float) -> Tensor:
    missing = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1)) < share
    missing[20:23, 30:34] = True
    return missing


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("weights", ["image", "care"])
def test_missing_pixels_are_filled_and_others_kept(share: float, weights: str) -> None:
    missing, data = holes(share), noisy()
    whole = image.denoise(data, SIGMA, weights=weights).image
    found = image.denoise(data.masked_fill(missing, torch.nan), SIGMA, weights=weights)
    # without, holes were black: 150 off, and what lay beside them 4 times as wrong
    assert float((found.image - scene())[missing].square().mean().sqrt()) < SIGMA
    error, alone = ((x - scene())[~missing].square().mean().sqrt() for x in (found.image, whole))
    assert error < 1.3 * alone
    assert not found.residual[missing].any()


def test_colours_are_filled_too() -> None:
    missing = holes(0.02)
    colour = noisy(3).masked_fill(missing, torch.nan).movedim(0, -1)
    found = image.denoise(colour, SIGMA, error_map=2)
    assert found.provenance["weights"]["name"] == "denoise-colour"
    assert float((found.image.movedim(-1, 0) - scene())[:, missing].abs().max()) < 3 * SIGMA
    assert bool(torch.isfinite(found.uncertainty).all())


def test_a_map_of_noise_may_be_anything_where_nothing_was_measured() -> None:
    missing = holes(0.02)
    sigma = torch.full(SHAPE, SIGMA).masked_fill(missing, torch.nan)
    data = noisy().masked_fill(missing, torch.nan)
    found = image.denoise(data, sigma).image
    assert torch.allclose(found, image.denoise(data, torch.full(SHAPE, SIGMA)).image)


@pytest.mark.parametrize("side", [12, 30])
@pytest.mark.parametrize("rows", [False, True])
def test_wide_holes_are_not_black_in_the_middle(side: int, rows: bool) -> None:
    missing = torch.zeros(SHAPE, dtype=torch.bool)
    missing[9 : 9 + side, slice(None) if rows else slice(5, 5 + side)] = True
    known = (~missing).float()
    found = image.inpaint(torch.stack([noisy(), 0.1 * noisy()]), known, SIGMA)
    smooth = smooth_start(Gaussian(Sampling(known), known * noisy(), SIGMA), iterations=300)
    error, plain = ((x - scene())[missing].square().mean().sqrt() for x in (found.image[0], smooth))
    assert error < plain + SIGMA  # black is 150 off, and 100 was what came of 30 rows
    assert not found.residual[..., missing].any()


def test_scattered_holes_are_the_networks_own() -> None:
    rim, _ = load_weights("inpainting")
    known = (torch.rand(SHAPE, generator=torch.Generator().manual_seed(2)) > 0.7).float()
    door = image.inpaint(noisy(), known, SIGMA).image
    assert torch.equal(door, image.inpaint(noisy(), known, SIGMA, weights=rim).image)
