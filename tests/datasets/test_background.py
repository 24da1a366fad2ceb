"""The level of the empty sky."""

from __future__ import annotations

import pytest
import torch

from rimaging.datasets.background import sky_level


def sky() -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    planes = 3 * torch.randn(2, 80, 90, generator=g) + torch.tensor([100.0, -7.0])[:, None, None]
    planes[:, 20:40, 30:50] += 500  # a source on a twentieth of the field
    return planes


def test_the_level_of_each_band_is_found_beside_sources() -> None:
    assert torch.allclose(sky_level(sky()).flatten(), torch.tensor([100.0, -7.0]), atol=0.15)


def test_beside_a_dark_lane_of_a_nebula_the_lane_is_the_level() -> None:
    g = torch.Generator().manual_seed(1)
    nebula = 50 + torch.randn(96, 128, generator=g)
    nebula[:, 64:96] = 20 + torch.randn(96, 32, generator=g)
    assert abs(float(sky_level(nebula)) - 20) < 0.2
    nebula[:32, :32] = 0  # never exposed
    assert abs(float(sky_level(nebula)) - 20) < 0.2


@pytest.mark.parametrize("side", [64, 256, 512])
def test_noise_alone_has_the_level_zero(side: int) -> None:
    # The lowest of 256 blocks lies 0.1 sigma below it by chance.
    planes = 5 * torch.randn(12, side, side, generator=torch.Generator().manual_seed(2))
    levels = sky_level(planes).flatten() / 5
    assert abs(float(levels.mean())) < 0.025 if side == 64 else abs(float(levels.mean())) < 0.01
    assert float(levels.std()) < 2.5 / side + 0.01
    mask = (torch.rand(side, side, generator=torch.Generator().manual_seed(3)) > 0.2).float()
    assert abs(float(sky_level(planes, mask).mean()) / 5) < 0.035


def test_it_scales_and_shifts_with_the_data() -> None:
    y = sky()
    assert torch.equal(sky_level(4 * y), 4 * sky_level(y))
    assert torch.allclose(sky_level(y + 64), sky_level(y) + 64, atol=1e-3)


def test_masked_pixels_do_not_count_and_an_empty_plane_is_zero() -> None:
    y = sky()
    mask = torch.ones(80, 90)
    mask[:, 45:] = 0
    changed = torch.where(mask > 0, y, torch.full_like(y, 1e6))
    assert torch.equal(sky_level(changed, mask), sky_level(y, mask))
    assert torch.equal(sky_level(y, torch.zeros(80, 90)), torch.zeros(2, 1, 1))
