from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits

from rimaging.astro import as_psf, deconvolve
from rimaging.datasets.fits_psf import read_fits_noise, read_fits_psf
from rimaging.datasets.open import open
from rimaging.errors import DataError, FormatError
from rimaging.operators.target import radius_squared

SKY = fits.Header(
    [
        ("CTYPE1", "RA---TAN"),
        ("CTYPE2", "DEC--TAN"),
        ("CRPIX1", 1.0),
        ("CRPIX2", 1.0),
        ("CDELT1", -0.2 / 3600),
        ("CDELT2", 0.2 / 3600),
    ]
)


def gaussian(side: int, y: float, x: float, fwhm: float = 4.0) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    return np.exp(-4 * np.log(2) * ((rows - y) ** 2 + (columns - x) ** 2) / fwhm**2)


def write(path: Path, psf: np.ndarray, **cards: float) -> Path:
    fits.HDUList([fits.PrimaryHDU(psf, fits.Header(list(cards.items())))]).writeto(path)
    return path


@pytest.mark.parametrize("card", ["PIXELSCL", "PIXSCALE"])
def test_another_pixel_scale_is_refused(tmp_path: Path, card: str) -> None:
    same = write(tmp_path / "same.fits", gaussian(9, 4, 4), **{card: 0.2005})
    fine = write(tmp_path / "fine.fits", gaussian(9, 4, 4), **{card: 0.05})
    silent = write(tmp_path / "silent.fits", gaussian(9, 4, 4))
    for path in (same, silent):
        assert tuple(read_fits_psf(path, SKY).shape) == (9, 9)
    assert tuple(read_fits_psf(fine, fits.Header()).shape) == (9, 9)
    with pytest.raises(DataError, match=r"0[.]05 arcsec per pixel and the image 0[.]2:"):
        read_fits_psf(fine, SKY)
    with pytest.raises(DataError, match="arcsec per pixel"):
        as_psf(fine, SKY)


def test_leading_axes_of_one_are_dropped_and_big_endian_is_read(tmp_path: Path) -> None:
    psf = gaussian(9, 4, 4).astype(">f8")[None, None]
    read = read_fits_psf(write(tmp_path / "f.fits", psf), None)
    assert torch.equal(read, torch.from_numpy(psf[0, 0].astype(np.float32)))


def test_the_first_of_several_psfs_is_not_taken_in_silence(tmp_path: Path) -> None:
    """A PSF of STPSF, say, begins with the oversampled one."""
    path = tmp_path / "four.fits"
    hdus = [fits.ImageHDU(gaussian(9, 4, 4, fwhm)) for fwhm in (6.0, 3.0)]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    with pytest.warns(UserWarning, match=r"first of 2 images read; choose another with \[2\]"):
        first = read_fits_psf(path, None)
    assert torch.equal(first, read_fits_psf(f"{path}[1]", None))


@pytest.mark.parametrize("middle", [4.0, 3.5, 3.0])
def test_an_even_psf_moves_no_star(tmp_path: Path, middle: float) -> None:
    # ScopeSim#880, ip_diffim#147, stpsf#40: even sides gave half-pixel shifts
    path = write(tmp_path / "psf.fits", gaussian(8, middle, middle, 2.0))
    star = gaussian(33, 16, 16, 2.0).astype(np.float32)
    with pytest.warns(UserWarning, match="padded from 8 to 9"):
        result = deconvolve(star, path, noise=1e-3, target=0, background=0.0, method="wiener")
    image = np.clip(np.asarray(result.image), 0, None).astype(float)
    rows, columns = np.mgrid[:33, :33]
    for axis in (rows, columns):
        assert abs((axis * image).sum() / image.sum() - 16) < 0.02


def test_the_psf_of_an_extension(tmp_path: Path) -> None:
    path = tmp_path / "f.fits"
    hdus = [fits.ImageHDU(gaussian(9, 4, 4), name="A"), fits.ImageHDU(gaussian(11, 5, 5), name="B")]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    assert tuple(as_psf(f"{path}[B]").shape) == (11, 11)
    assert tuple(as_psf(f"{path}[1]").shape) == (9, 9)


def test_noise_is_sigma_whatever_the_extension_holds(tmp_path: Path) -> None:
    path = tmp_path / "f.fits"
    hdus = []
    for name, value in (("ERR", 3.0), ("VARIANCE", 9.0), ("UNCERT", 1 / 9), ("WHT", 9.0)):
        hdu = fits.ImageHDU(np.full((4, 5), value), name=name)
        if name == "UNCERT":
            hdu.header["UTYPE"] = "InverseVariance"
        hdus.append(hdu)
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    for name in ("ERR", "VARIANCE", "UNCERT"):
        assert torch.allclose(read_fits_noise(f"{path}[{name}]"), torch.full((4, 5), 3.0))
    with pytest.raises(DataError, match="weights"):
        read_fits_noise(f"{path}[WHT]")


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
def test_noise_that_is_none_is_refused(tmp_path: Path, value: float) -> None:
    noise = np.ones((12, 10), np.float32)
    noise[2, 3] = value
    path = tmp_path / "f.fits"
    image = fits.ImageHDU(np.random.default_rng(0).normal(size=(12, 10)), name="SCI")
    fits.HDUList([fits.PrimaryHDU(), image, fits.ImageHDU(noise, name="RMS")]).writeto(path)
    sky = open(path, kind="sky")
    with pytest.raises(DataError, match="noise"):
        deconvolve(sky, 3.0, noise=read_fits_noise(f"{path}[RMS]"), method="wiener")


def test_the_profile_by_name_is_as_wide_as_it_says() -> None:
    psf = as_psf("moffat:4.5")
    middle = psf.shape[-1] // 2
    half = float(psf[middle, middle]) / 2
    squared = radius_squared(middle)
    assert float(psf[squared <= 2.0**2].min()) > half > float(psf[squared >= 2.4**2].max())


def test_a_psf_that_is_no_file_is_told_what_may_be_given() -> None:
    with pytest.raises(FormatError, match=r"'banana' does not exist.*FWHM.*moffat:4\.5.*stars"):
        as_psf("banana")
