"""Gates without injected stars: noise, a shifted grid."""

from __future__ import annotations

import torch

from rimaging.operators.target import gaussian_psf
from rimaging.validate.empty import peaks, pure_noise, shifted_grid

GENERATOR = torch.Generator().manual_seed(3)
NOISE = torch.randn(128, 128, generator=GENERATOR)
PROFILES = (gaussian_psf(2.0), gaussian_psf(3.0))


def test_silence_passes_invention_and_offset_fail() -> None:
    dark = torch.zeros_like(NOISE) + NOISE.mean()
    unit = float(PROFILES[1].square().sum()) ** -0.5
    assert pure_noise([dark], [NOISE], PROFILES, unit, 1.0, 8).outcome == "pass"
    invented = pure_noise([2 * NOISE], [NOISE], PROFILES, unit, 1.0, 8)
    assert invented.outcome == "fail" and invented.numbers["output"] > 20
    assert pure_noise([dark + 0.02], [NOISE], PROFILES, unit, 1.0, 8).outcome == "fail"


def test_a_peak_is_counted_once_with_its_flux() -> None:
    image = torch.zeros(64, 64)
    image[22:43, 22:43][5:16, 5:16] += 10 * gaussian_psf(2.0)
    assert peaks(image, gaussian_psf(2.0), 9.9, 4) == 1
    assert peaks(image, gaussian_psf(2.0), 10.1, 4) == 0


def test_a_statistic_of_the_tile_fails_on_a_shifted_grid() -> None:
    sky = NOISE.clone()
    sky[2, 60] += 300  # in one of the tiles only
    cut = sky[5:, 3:]
    assert shifted_grid(sky, cut, (5, 3), 0.0, 1.0, 16).outcome == "pass"
    per_tile = shifted_grid(sky - sky.mean(), cut - cut.mean(), (5, 3), 0.0, 1.0, 16)
    misplaced = shifted_grid(sky, sky[4:, 3:][:-1], (5, 3), 0.0, 1.0, 16)
    assert (per_tile.outcome, misplaced.outcome) == ("fail", "fail")
