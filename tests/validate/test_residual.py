"""Gates of the residual: noise passes; a bad tile, structure, ringing, lost light fail."""

from __future__ import annotations

from typing import Any

import torch

from rimaging.validate.residual import reconvolved, residual_tiles, ringing, tile_chi2

NOISE = torch.randn(128, 120, generator=torch.Generator().manual_seed(0))


def test_noise_passes_and_wrong_noise_does_not(place: Any, isolated: Any) -> None:
    unit = place.flux_error
    assert residual_tiles(NOISE, None, isolated, unit, 2.0).outcome == "pass"
    assert residual_tiles(1.1 * NOISE, None, isolated, unit, 2.0).outcome == "fail"
    assert "--noise" in residual_tiles(3 * NOISE, None, isolated, unit, 2.0).finding
    assert residual_tiles(0.9 * NOISE, None, isolated, unit, 2.0).outcome == "fail"


def test_structure_fails_though_its_size_is_right(place: Any, isolated: Any) -> None:
    smooth = NOISE + NOISE.roll(1, -1)
    gate = residual_tiles(smooth / smooth.std(), None, isolated, place.flux_error, 2.0)
    assert gate.outcome == "fail" and "not white" in gate.finding


def test_one_bad_tile_is_seen_and_masked_pixels_are_not() -> None:
    bad = NOISE.clone()
    bad[64:, 60:] *= 2
    chi2, _ = tile_chi2(bad, None, 60)
    assert float(chi2[1, 1]) > 3 > 1.5 > float(chi2[0, 0])
    mask = torch.ones_like(bad)
    mask[60:, 60:] = 0
    chi2, count = tile_chi2(bad, mask, 60)
    assert float(count[1, 1]) == 0 and float(chi2.max()) < 1.5


def test_a_dark_ring_beside_stars_fails(place: Any, isolated: Any) -> None:
    unit = place.flux_error
    assert ringing(isolated, unit, 2.0) < 1e-3
    wavy = []
    for response in isolated:
        span = torch.arange(-8, 9).float()
        radius = torch.hypot(span[:, None], span[None, :])
        kernel = ((radius > 4.5) & (radius < 6.5)).float()[None, None]
        dark = torch.nn.functional.conv2d(response.found[None, None], kernel, padding=8)[0, 0]
        wavy.append(response._replace(found=response.found - 0.005 * dark))
    assert ringing(wavy, unit, 2.0) > 0.01
    assert residual_tiles(NOISE, None, wavy, unit, 2.0).outcome == "fail"


def test_light_that_is_left_over_fails(place: Any, isolated: Any) -> None:
    unit, above = place.flux_error, 50 + 0 * NOISE
    bright = isolated[-1]
    kept = [(0.0 * bright.truth, bright.truth, bright)]
    assert reconvolved(NOISE, above, 1.0, kept, unit, 4.0).outcome == "pass"
    gate = reconvolved(NOISE + 1, above, 1.0, kept, unit, 4.0)
    assert gate.outcome == "fail" and abs(gate.numbers["image"] - 0.02) < 1e-3
    lost = [(0.03 * bright.truth, bright.truth, bright)]
    assert reconvolved(NOISE, above, 1.0, lost, unit, 4.0).outcome == "fail"
