"""Laws of the survey's scenes: repeatable, normalised, as bright and as noisy as asked for."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from rimaging.datasets.simulate.lsst import (
    PSF_SIDE,
    READ_NOISE,
    SIDE,
    SKY,
    Scenes,
    flux,
    lsst_scenes,
    observe,
)
from rimaging.operators.convolution import Convolution

pytest.importorskip("galsim", reason="galsim is optional")


@pytest.fixture(scope="module")
def scenes(data_root: Path) -> Scenes:
    return lsst_scenes(data_root / "astro" / "cosmos_galaxies", 3, 7)


def test_a_scene_depends_on_its_seed_and_its_number_alone(scenes: Scenes, data_root: Path) -> None:
    folder = data_root / "astro" / "cosmos_galaxies"
    fewer, other = lsst_scenes(folder, 2, 7), lsst_scenes(folder, 2, 8)
    for kept, again, new in (
        (scenes.truth, fewer.truth, other.truth),
        (scenes.psf, fewer.psf, other.psf),
    ):
        assert torch.equal(kept[:2], again)
        assert not torch.allclose(kept[:2], new)


def test_galaxies_and_psfs_are_positive_of_sum_one_and_in_the_middle(scenes: Scenes) -> None:
    assert scenes.truth.shape == (3, SIDE, SIDE)
    assert scenes.psf.shape == (3, PSF_SIDE, PSF_SIDE)
    for images in (scenes.truth, scenes.psf):
        assert float(images.min()) >= 0
        torch.testing.assert_close(images.sum((-2, -1)), torch.ones(3, dtype=torch.float64))
        side = images.shape[-1]
        line = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
        assert float((images.sum(-1) @ line).abs().max()) < 2
        assert float((images.sum(-2) @ line).abs().max()) < 2


@pytest.mark.parametrize("snr", [7.5, 200.0])
def test_the_flux_has_the_signal_to_noise_that_was_asked_for(scenes: Scenes, snr: float) -> None:
    assert flux(snr) / math.sqrt(flux(snr) + SKY * SIDE**2) == pytest.approx(snr)
    truth, y = observe(scenes, snr, 0)
    total = torch.full((3,), flux(snr), dtype=torch.float64)
    torch.testing.assert_close(truth.sum((-2, -1)), total)
    assert torch.equal(observe(scenes, snr, 0)[1], y)
    mean = Convolution(scenes.psf, (SIDE, SIDE), "zero")(truth) + SKY
    noise = (y - mean) / (mean + READ_NOISE**2).sqrt()
    assert float(noise.mean()) == pytest.approx(0, abs=0.05)
    assert float(noise.var()) == pytest.approx(1, abs=0.1)
