"""Photon noise from one image: gain and offset are found, white noise has no gain."""

from __future__ import annotations

import pytest
import torch

from rimaging.datasets.photon_noise import estimate_photon_noise
from rimaging.errors import DataError, ShapeError


def scene() -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(-1, 1, 256), torch.linspace(-1, 1, 256), indexing="ij")
    return 0.5 + 0.4 * torch.sin(3 * y + 2 * x)


@pytest.mark.parametrize(("gain", "offset"), [(0.01, 0.0004), (0.003, 0.002), (0.0, 0.01)])
@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_gain_and_offset_are_found(gain: float, offset: float, scale: float) -> None:
    clean = scene()
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    variance = gain * clean + offset
    noisy = scale * (clean + variance.sqrt() * noise)
    found = estimate_photon_noise(noisy).sigma(noisy) / scale
    assert float((found / variance.sqrt()).log().abs().mean()) < 0.08


def test_what_cannot_be_estimated_is_refused() -> None:
    with pytest.raises(ShapeError, match="one image"):
        estimate_photon_noise(torch.rand(3, 64, 64))
    with pytest.raises(DataError, match="no noise"):
        estimate_photon_noise(torch.ones(64, 64))
