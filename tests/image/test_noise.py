"""The noise that nobody states: of each image by itself, whatever was clipped, with the signal."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from rimaging import image
from rimaging.datasets.photon_noise import estimate_photon_noise
from rimaging.errors import DataError, OptionError
from rimaging.image.noise import estimate_clipped_noise
from rimaging.operators.target import gaussian_psf

SIGMAS = (0.02, 0.3)


def white(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def pages(*shape: int) -> Tensor:
    """Pages of one scene in units and noise of their own."""
    y, x = torch.linspace(-1, 1, shape[-2]), torch.linspace(-1, 1, shape[-1])
    scene = 0.5 + 0.4 * torch.sin(3 * y[:, None] + 2 * x)
    return torch.stack([scene + s * white(*shape, seed=i) for i, s in enumerate(SIGMAS)])


def test_an_image_of_a_stack_is_as_it_is_alone(real_weights: Path) -> None:
    stack = pages(24, 20)
    kernel = gaussian_psf(1.5)
    units = torch.tensor([1.0, 0.001])[:, None, None]
    together = [
        image.denoise(stack, weights=real_weights),
        image.deblur(stack, kernel, weights=real_weights),
        image.upscale(units * stack, 2, weights=real_weights),
    ]
    for i, page in enumerate(stack):
        alone = [
            image.denoise(page, weights=real_weights),
            image.deblur(page, kernel, weights=real_weights),
            image.upscale(units[i] * page, 2, weights=real_weights),
        ]
        for one, all_of_them in zip(alone, together, strict=True):
            scale = float(one.image.abs().max())
            assert torch.allclose(all_of_them.image[i], one.image, rtol=0, atol=1e-5 * scale)


def test_the_noise_of_colours_is_one_and_of_pages_each_its_own(real_weights: Path) -> None:
    colour = pages(24, 20, 3)
    result = image.denoise(colour, weights=real_weights)
    assert result.measurement is not None
    noise = torch.as_tensor(result.measurement.noise)
    assert noise.shape == (2, 1, 1, 1)
    assert noise.flatten().tolist() == pytest.approx(SIGMAS, rel=0.15)
    (note,) = result.provenance["assumed"]
    assert note.startswith("noise of each image estimated")


def test_a_blank_page_does_not_keep_the_others(real_weights: Path) -> None:
    stack = torch.stack([*pages(24, 20), torch.ones(24, 20)])
    result = image.denoise(stack, weights=real_weights)
    assert any("1 images that show none" in note for note in result.provenance["assumed"])
    assert torch.equal(result.image[:2], image.denoise(stack[:2], weights=real_weights).image)
    assert image.upscale(stack, 2, weights=real_weights).image.shape == (3, 48, 40)
    with pytest.raises(DataError, match=r"estimated as zero .*: give sigma \(--sigma\)"):
        image.denoise(torch.ones(2, 24, 20), weights=real_weights)


@pytest.mark.parametrize("black", [0.0, 0.3, 0.45, 0.7])
def test_clipping_does_not_lower_the_noise(black: float) -> None:
    scene = torch.where(torch.linspace(0, 1, 200) < black, -0.2, 0.5).expand(200, 200)
    clipped = (scene + 0.05 * white(200, 200)).clamp(0, 1)
    assert estimate_clipped_noise(clipped, None, (0.0, 1.0)) == pytest.approx(0.05, rel=0.06)


def test_the_edges_of_a_drawing_are_no_noise() -> None:
    drawing = torch.ones(64, 64)
    drawing[20:24, 20:24] = torch.linspace(0.1, 0.9, 16).reshape(4, 4)
    with pytest.raises(DataError, match="estimated as zero"):
        estimate_clipped_noise(drawing, None, (0.0, 1.0))


def test_weights_for_microscopes_take_noise_that_rises_with_the_signal() -> None:
    signal = 20 + 200 * torch.linspace(0, 1, 64).expand(2, 48, 64)
    counts = torch.poisson(signal, generator=torch.Generator().manual_seed(1))
    sigma = torch.stack([estimate_photon_noise(page).sigma(page) for page in counts])
    found = image.denoise(counts, weights="care")
    assert torch.equal(found.image, image.denoise(counts, sigma, weights="care").image)
    assert any("gain x signal" in note for note in found.provenance["assumed"])
    small = image.denoise(counts[:, :16, :16], weights="care")  # too few pixels for a line
    assert any("noise of each image" in note for note in small.provenance["assumed"])


@pytest.mark.parametrize("lead", [(), (3,)])
@pytest.mark.parametrize("ratio", [1.1, 2.0, 10.0])
def test_noise_may_differ_from_pixel_to_pixel(ratio: float, lead: tuple[int, ...]) -> None:
    y, x = torch.linspace(-1, 1, 48), torch.linspace(-1, 1, 64)
    scene = 150 + 60 * torch.sin(3 * y[:, None] + 2 * x)
    sigma = 10 * ratio ** (x / 2).expand(48, 64)
    data = scene + sigma * white(*lead, 48, 64)
    if lead:  # colour
        data = data.movedim(0, -1)
    # with weights for one level it was off by 8, 50 and 100
    found = torch.as_tensor(image.denoise(data, sigma).image)
    error = (found.movedim(-1, 0) if lead else found) - scene
    assert float(error.square().mean().sqrt()) < 4.0
    name = "denoise-colour" if lead else "image"
    with pytest.raises(OptionError, match="differs from pixel to pixel"):
        image.denoise(data, sigma, weights=name)


def test_a_level_for_each_image_or_channel_is_no_map() -> None:
    data = 100 + 10 * white(2, 24, 20)
    levels = torch.tensor([10.0, 11.0])[:, None, None]
    for sigma in (levels, levels.expand(2, 24, 20), torch.full((24, 20), 10.0)):
        found = image.denoise(data, sigma)
        assert found.provenance["weights"]["name"] == "image"
    colour = image.denoise(data[:1].expand(3, 24, 20).movedim(0, -1), torch.full((24, 20, 3), 10.0))
    assert colour.provenance["weights"]["name"] == "denoise-colour"
