from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rimaging.datasets.noise import estimate_image_noise, estimate_picture_noise
from rimaging.errors import DataError


def noise(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sigma", [1e-12, 0.03, 700.0])
def test_white_noise_on_a_plane_is_found_at_any_scale(sigma: float) -> None:
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(96.0), indexing="ij")
    image = sigma * (noise((2, 128, 96)) + 3 * y - x)
    assert estimate_image_noise(image) == pytest.approx(sigma, rel=0.03)


def test_complex_noise_is_per_real_component() -> None:
    image = torch.complex(noise((128, 128)), noise((128, 128), 1))
    assert estimate_image_noise(image) == pytest.approx(1, rel=0.03)


def test_masked_pixels_do_not_count() -> None:
    image, mask = noise((128, 128)), torch.ones(128, 128)
    image[:, 60:] *= 1000
    mask[:, 60:] = 0
    assert estimate_image_noise(image, mask) == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize("sigma", [15, 25, 50])
def test_noise_on_real_photographs(data_root: Path, sigma: float) -> None:
    from PIL import Image

    folder = data_root / "natural" / "bsd68_gray"
    ratios = []
    for path in sorted(folder.glob("*.png"))[:8]:
        clean = torch.from_numpy(np.asarray(Image.open(path), dtype=np.float32))
        ratios.append(estimate_image_noise(clean + sigma * noise(tuple(clean.shape))) / sigma)
    assert np.median(ratios) == pytest.approx(1, abs=0.08)


def test_noise_free_data_say_so() -> None:
    with pytest.raises(DataError, match="give noise="):
        estimate_image_noise(torch.ones(16, 16))
    with pytest.raises(DataError, match=r"at least \(3, 3\)"):
        estimate_image_noise(noise((2, 9)))


@pytest.mark.parametrize("axes", [2, 3])
def test_each_picture_has_the_noise_that_it_has_alone(axes: int) -> None:
    sizes = torch.tensor([1e-3, 1.0, 40.0])[:, None, None, None]
    batch, mask = sizes * noise((3, 3, 24, 20)), (noise((24, 20), 1) > -1).float()
    batch[1] = 5  # flat: it tells nothing, and the least of the others stands for it
    found, blank = estimate_picture_noise(batch, mask, axes)
    assert blank == (1 if axes == 3 else 3)
    assert found.shape == (3, 1, 1, 1) if axes == 3 else (3, 3, 1, 1)
    for picture, own in zip(batch[::2], found[::2], strict=True):
        alone = [picture] if axes == 3 else list(picture)
        expected = torch.tensor([estimate_image_noise(one, mask) for one in alone])
        assert torch.equal(own.flatten(), expected)
    assert bool((found[1] == found.min()).all())
    with pytest.raises(DataError, match="give noise="):
        estimate_picture_noise(torch.ones(2, 16, 16), None, 2)
