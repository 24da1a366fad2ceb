"""The correlation of noise, found in images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rimaging.datasets.beam_psf import gaussian_beam
from rimaging.datasets.noise import estimate_image_noise
from rimaging.datasets.noise_correlation import (
    estimate_noise_correlation,
    estimate_sky_noise,
    found_correlation,
    restored_noise,
    single_pixels,
)
from rimaging.errors import DataError
from rimaging.operators.correlated import NoiseCorrelation
from rimaging.operators.target import gaussian_psf

STENCIL = torch.tensor([0.25, 1.0, 0.25])
DRIZZLED = NoiseCorrelation.of(STENCIL[:, None] * STENCIL[None, :])
PSF = gaussian_psf(3.5)
HALF = PSF.shape[-1] // 2


def white(seed: int = 0) -> torch.Tensor:
    return torch.randn(192, 200, generator=torch.Generator().manual_seed(seed))


def with_sources(noise: torch.Tensor) -> torch.Tensor:
    image = noise.clone()
    for y, x in ((40, 50), (90, 120), (150, 30)):
        image[y - HALF : y + HALF + 1, x - HALF : x + HALF + 1] += 3000 * PSF
    return image


def test_the_noise_of_a_drizzled_image_is_found_beside_its_sources() -> None:
    image = with_sources(2 * DRIZZLED.coloured(white()))
    found = found_correlation(image, None, PSF)
    assert found is not None
    assert found.at(1) == pytest.approx(DRIZZLED.at(1), abs=0.06)
    assert float(single_pixels(image, None, found)) == pytest.approx(2, rel=0.12)
    density = DRIZZLED.density(PSF) ** 0.5
    assert estimate_sky_noise(image, None, PSF) == pytest.approx(2 * density, rel=0.15)
    assert estimate_image_noise(image) < 1.2  # what white noise would be taken for


def test_white_noise_stays_white_and_unresolved_light_is_no_noise() -> None:
    noise = white(1)
    assert found_correlation(with_sources(noise), None, PSF) is None
    assert estimate_sky_noise(noise, None, PSF) == estimate_image_noise(noise)
    crowd = torch.nn.functional.conv2d(white(2)[None, None].abs(), PSF[None, None], padding=HALF)[
        0, 0
    ]
    assert found_correlation(100 * crowd + noise, None, PSF) is None


@pytest.mark.parametrize("strength", [0.3, 0.5, 0.8])
def test_faint_light_beside_white_noise_is_no_correlation_of_the_noise(strength: float) -> None:
    wide = gaussian_psf(6.0)
    light = NoiseCorrelation.of(wide).coloured(white(1))
    assert found_correlation(white() + strength * light, None, wide) is None
    both = DRIZZLED.coloured(white()) + strength * light
    if strength < 0.5:
        assert found_correlation(both, None, wide) is not None


def test_it_scales_with_the_image_and_leaves_masked_pixels_out() -> None:
    image = DRIZZLED.coloured(white(3))
    found = estimate_noise_correlation(image)
    assert torch.allclose(estimate_noise_correlation(64 * image + 5).lags, found.lags, atol=1e-6)
    mask = torch.ones_like(image)
    mask[:, 100:] = 0
    changed = torch.where(mask > 0, image, 1e6)
    lags = estimate_noise_correlation(image, mask).lags
    assert torch.equal(estimate_noise_correlation(changed, mask).lags, lags)


def test_what_is_too_small_or_silent_is_said() -> None:
    with pytest.raises(DataError, match="blocks"):
        estimate_noise_correlation(white()[:20, :20])
    with pytest.raises(DataError, match="no noise"):
        estimate_noise_correlation(torch.zeros(96, 96))
    assert found_correlation(white()[:20, :20], None, PSF) is None


def test_hubble_noise_is_what_its_survey_states(data_root: Path) -> None:
    from rimaging.astro.noise import as_correlation
    from rimaging.datasets.open import open as open_measurement

    sky = open_measurement(data_root / "astro/hst_hsc/Cut_HST.fits.gz", kind="sky")
    stated = as_correlation(data_root / "astro/cosmos_galaxies/acs_I_unrot_sci_20_cf.fits.gz")
    found = estimate_noise_correlation(sky.data, sky.mask)
    assert found.at(1) == pytest.approx(stated.at(1), abs=0.06)


@pytest.mark.parametrize("beam", [(3.0, 2.5, 0.0), (5.0, 4.0, 40.0), (8.0, 5.0, 100.0)])
def test_the_noise_of_a_restored_image_is_its_scatter(beam: tuple[float, float, float]) -> None:
    psf = gaussian_beam(*beam, 14)
    draw = torch.Generator().manual_seed(7)
    noise = NoiseCorrelation.of(psf).coloured(torch.randn(2, 200, 200, generator=draw))
    scale = torch.tensor([1e-3, 5.0]).reshape(2, 1, 1)
    image = scale * noise
    image[:, 60, 70] += 300 * scale[:, 0, 0]
    found = restored_noise(image, None, psf)
    assert found is not None and found.shape == (2, 1, 1)
    assert torch.allclose(found / scale, torch.ones(2, 1, 1), atol=0.1)
    doubled = restored_noise(2 * image, None, psf)
    assert doubled is not None and torch.equal(doubled, 2 * found)
    assert restored_noise(torch.randn(200, 200, generator=draw), None, psf) is None
    assert restored_noise(image[..., :40, :40], None, psf) is None
