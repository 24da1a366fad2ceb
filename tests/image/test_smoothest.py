"""Noise where texture is least: laws, and photographs with noise that is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rimaging.datasets.noise import estimate_image_noise
from rimaging.errors import DataError
from rimaging.image.noise import estimate_clipped_noise
from rimaging.image.smoothest import estimate_smooth_noise


def white(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def photographs(data_root: Path) -> list[torch.Tensor]:
    from PIL import Image

    paths = sorted((data_root / "natural" / "bsds500_extra200").glob("*.jpg"))[::20]
    images = [np.asarray(Image.open(path).convert("L"), dtype=np.float32) for path in paths]
    return [torch.from_numpy(image) for image in images]


@pytest.mark.parametrize("shape", [(200, 200), (3, 120, 150), (40, 40), (8, 9)])
def test_of_noise_alone_it_is_its_size(shape: tuple[int, ...]) -> None:
    ratios = [estimate_smooth_noise(7 * white(*shape, seed=seed)) / 7 for seed in range(8)]
    few = np.prod(shape) < 2000
    assert np.mean(ratios) == pytest.approx(1, abs=0.15 if few else 0.02)


def test_scaling_the_picture_scales_its_noise() -> None:
    picture = white(60, 80) + 3 * torch.sin(torch.arange(80.0))
    assert estimate_smooth_noise(16 * picture) == 16 * estimate_smooth_noise(picture)


def test_texture_is_not_taken_for_noise() -> None:
    grass = 40 * white(200, 200, seed=1)
    grass[:, 140:] = 0
    noisy = 100 + grass + 2 * white(200, 200)
    assert estimate_image_noise(noisy) > 20
    assert estimate_smooth_noise(noisy) == pytest.approx(2, rel=0.05)


def test_the_noise_of_photographs(data_root: Path) -> None:
    # (The photographs have grain of their own, which counts beside noise of 2.)
    for sigma, median, worst in (
        (2, 0.1, 1.4),
        (5, 0.03, 1.12),
        (10, 0.03, 1.06),
        (25, 0.02, 1.04),
    ):
        ratios = []
        for seed, photograph in enumerate(photographs(data_root)):
            noisy = photograph + sigma * white(*photograph.shape, seed=seed)
            ratios.append(estimate_smooth_noise(noisy) / sigma)
        assert np.median(ratios) == pytest.approx(1, abs=median)
        assert 0.95 < min(ratios) <= max(ratios) < worst


def test_noise_that_was_cut_off_in_photographs(data_root: Path) -> None:
    for sigma, median, worst in ((25, 0.03, 0.1), (50, 0.06, 0.2)):
        ratios = []
        for seed, photograph in enumerate(photographs(data_root)):
            noisy = photograph + sigma * white(*photograph.shape, seed=seed)
            seen = noisy.round().clamp(0, 255)
            ratios.append(estimate_clipped_noise(seen, None, (0, 255)) / sigma)
        assert np.median(ratios) == pytest.approx(1, abs=median)
        assert ratios == pytest.approx([1] * len(ratios), abs=worst)


def test_a_frame_and_what_was_not_measured_tell_nothing() -> None:
    picture, mask = white(128, 128), torch.ones(128, 128)
    picture[:30] = 5
    picture[60:90] = 1000 * white(30, 128, seed=1)
    mask[60:90] = 0
    assert estimate_smooth_noise(picture, mask) == pytest.approx(1, rel=0.05)


def test_a_clean_picture_has_the_noise_of_its_rounding() -> None:
    across, down = torch.arange(200.0) / 7, torch.arange(160.0)[:, None] / 11
    picture = (100 + across + down).round()
    assert 0.1 < estimate_smooth_noise(picture) < 0.5


def test_pictures_without_noise_say_so() -> None:
    drawing = torch.zeros(64, 64)
    drawing[20:30, 20:30] = 1
    with pytest.raises(DataError, match="give noise="):
        estimate_smooth_noise(drawing)
    with pytest.raises(DataError, match="give noise="):
        estimate_smooth_noise(white(64, 64), torch.zeros(64, 64))
