"""The PSF from stars: that of injected ones is known; of real fields it is sane."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rimaging.datasets import epsf
from rimaging.datasets.epsf import psf_of_stars, write_psf
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.open import open as open_measurement
from rimaging.datasets.psf import psf_shape
from rimaging.datasets.star_fit import fitted
from rimaging.errors import DataError

pytest.importorskip("photutils")


def field(count: int, fwhm: float = 3.4) -> torch.Tensor:
    """Stars at random phases on a sky with a gradient; some saturated, some crowded."""
    generator = torch.Generator().manual_seed(7)
    y, x = torch.meshgrid(torch.arange(220.0), torch.arange(200.0), indexing="ij")
    image = 100 + 0.05 * x + torch.randn(y.shape, generator=generator)
    where = torch.rand(count, 2, generator=generator)
    flux = 10 ** (3 + 1.5 * torch.rand(count, generator=generator))
    for (v, u), f in zip(where.tolist(), flux.tolist(), strict=True):
        # A Gaussian 20 % wider along x.
        dx, dy = x - (15 + 170 * u), y - (15 + 190 * v)
        power = 2.7726 * ((dx / (1.2 * fwhm)) ** 2 + (dy / fwhm) ** 2)
        image += f * 2.7726 / (torch.pi * 1.2 * fwhm**2) * torch.exp(-power)
    return image.clamp_max(2000)


def test_the_psf_of_injected_stars_is_found() -> None:
    sky = Measurement(kind="sky", data=field(40))
    found = psf_of_stars(sky, saturation=1900)
    assert 8 <= found.stars <= found.found
    assert found.fwhm == pytest.approx(3.4 * 1.2**0.5, rel=0.04)
    assert found.ellipticity == pytest.approx(1 - 1 / 1.2, abs=0.03)
    assert float(found.psf.sum()) == pytest.approx(1, abs=1e-5)
    rows, columns = found.psf.shape
    assert rows % 2 == columns % 2 == 1
    core = found.psf[rows // 2 - 4 : rows // 2 + 5, columns // 2 - 4 : columns // 2 + 5]
    line = torch.arange(-4.0, 5)
    assert abs(float((core * line).sum())) < 0.05 > abs(float((core * line[:, None]).sum()))


def moffats(fwhm: float, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A field of stars, and the PSF that they have, integrated over 5 x 5 points of a pixel."""
    generator = torch.Generator().manual_seed(3)

    def profile(dy: float, dx: float, half: int) -> torch.Tensor:
        points = (torch.arange(10 * half + 5) - 5.0 * half - 2) / 5
        squared = (points[:, None] - dy) ** 2 + (points[None, :] - dx) ** 2
        value = (1 + squared * (4 * (2 ** (1 / 3) - 1)) / fwhm**2) ** -3.0
        return value.reshape(2 * half + 1, 5, 2 * half + 1, 5).mean(dim=(1, 3))

    image = 100 + 3 * torch.randn(300, 300, generator=generator)
    where = 30 + 240 * torch.rand(count, 2, generator=generator)
    for y, x in where.tolist():
        flux = 10 ** (3.5 + 2 * float(torch.rand((), generator=generator)))
        row, column = round(y), round(x)
        star = profile(y - row, x - column, 20)
        image[row - 20 : row + 21, column - 20 : column + 21] += flux * star / star.sum()
    return image, profile(0, 0, 10)


@pytest.mark.parametrize(("fwhm", "worst"), [(1.8, 0.02), (3.1, 0.01)])
def test_few_stars_tell_the_width_of_their_psf(fwhm: float, worst: float) -> None:
    image, truth = moffats(fwhm, 25)
    psf = psf_of_stars(Measurement(kind="sky", data=image), side=21).psf
    truth = truth - truth[0].median()  # no stamp can tell its wings from the sky
    truth = truth / truth.sum()
    assert float((psf - truth).abs().max() / truth.max()) < worst


def test_an_effective_psf_that_grew_too_narrow_is_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As photutils' iterations make it on one field in sixty: 2.4 pixels where stars have 3.1."""
    image, truth = moffats(3.1, 25)
    narrow = moffats(2.2, 1)[1]
    narrow = narrow / narrow.sum()
    built, build = [], epsf._build

    def diverging(*inputs: Any) -> torch.Tensor:
        built.append(build(*inputs))
        return built[-1] if len(built) == 1 else narrow

    monkeypatch.setattr(epsf, "_build", diverging)
    found = psf_of_stars(Measurement(kind="sky", data=image), side=21)
    assert len(built) == 2
    assert found.fwhm == pytest.approx(psf_shape(truth)[0], rel=0.02)


def misfit(psf: np.ndarray, truth: np.ndarray) -> float:
    """Largest difference in the middle over the peak, at the best scale and level of sky."""
    middle = psf[4:-4, 4:-4].ravel()
    basis = np.stack([middle, np.ones_like(middle)], axis=1)
    seen = truth[4:-4, 4:-4].ravel()
    left = seen - basis @ np.linalg.lstsq(basis, seen, rcond=None)[0]
    return float(abs(left).max() / seen.max())


def test_a_psf_that_is_too_wide_is_fitted_to_its_stars() -> None:
    wide, truth = moffats(3.5, 1)[1], moffats(3.1, 1)[1]
    generator = np.random.default_rng(0)
    places = np.stack(np.meshgrid(20 + 30 * np.arange(4), 20 + 30 * np.arange(4)), -1).reshape(
        -1, 2
    )
    image = generator.normal(0, 1e-4, (150, 150))
    for x, y in places.tolist():
        image[y - 10 : y + 11, x - 10 : x + 11] += (truth / truth.sum()).numpy()
    start = (wide / wide.sum()).double().numpy()
    found = fitted(start, image, places + generator.uniform(-0.2, 0.2, places.shape), 3.3)
    assert found.stars >= 12 and found.change < 0.01
    before, after = (misfit(psf, truth.double().numpy()) for psf in (start, found.psf))
    assert after < 0.01 < 0.2 * before


def test_it_is_written_with_its_facts_and_its_pixels(tmp_path: Path) -> None:
    from astropy.io import fits

    found = psf_of_stars(Measurement(kind="sky", data=field(40)), saturation=1900, side=22)
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -1 / 3600})
    header["CDELT2"] = 1 / 3600
    path = write_psf(tmp_path / "psf.fits", found, header, version="0")
    with fits.open(path, checksum=True) as hdus:
        assert hdus[0].data.shape == (23, 23) and hdus[0].header["NSTARS"] == found.stars
        assert hdus[0].header["PIXSCALE"] == pytest.approx(1.0)
    assert [p.name for p in tmp_path.iterdir()] == ["psf.fits"]


def test_an_empty_sky_has_no_psf() -> None:
    noise = torch.randn(80, 80, generator=torch.Generator().manual_seed(0))
    with pytest.raises(DataError, match="isolated and unsaturated"):
        psf_of_stars(Measurement(kind="sky", data=noise))
    with pytest.raises(DataError, match="too small"):
        psf_of_stars(Measurement(kind="sky", data=noise[:30]))


@pytest.mark.parametrize(
    ("name", "low", "high"),  # a seeing of about 3 arcsec, on pixels of 1 and of 5 arcsec
    [
        ("m17_2mass/aK_asky_990502s1350092.fits.gz", 2.5, 3.5),
        ("galactic_center/gc_2mass_j.fits.gz", 1.1, 2.0),
    ],
)
def test_real_fields_give_a_sane_psf(data_root: Path, name: str, low: float, high: float) -> None:
    sky = open_measurement(data_root / "astro" / name, kind="sky")
    found = psf_of_stars(Measurement(kind="sky", data=sky.data[100:300, 100:300].contiguous()))
    assert low < found.fwhm < high and found.ellipticity < 0.2 and found.stars >= 5


def test_trailed_stars_in_the_noise_are_refused(data_root: Path) -> None:
    sky = open_measurement(data_root / "astro/m13/M13_blue_0001.fits.gz", kind="sky")
    with pytest.raises(DataError, match="isolated and unsaturated"):
        psf_of_stars(Measurement(kind="sky", data=sky.data[300:700, 400:800].contiguous()))
