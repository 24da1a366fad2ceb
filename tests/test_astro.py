"""The door of astronomy: photometry, masks, PSFs in every form, and what is refused."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import rimaging
from rimaging import astro
from rimaging.datasets.fits_psf import read_fits_noise
from rimaging.datasets.psf import psf_shape
from rimaging.errors import DataError, FormatError, OptionError, ShapeError, WeightsError
from rimaging.operators.convolution import Convolution
from rimaging.operators.target import gaussian_psf, relative_kernel

SHAPE = (40, 36)
SIGMA = 0.02


def stars(psf: Tensor) -> Tensor:
    sky = torch.zeros(SHAPE)
    for y, x, flux in ((12, 10, 100.0), (25, 20, 50.0), (18, 28, 20.0)):
        sky[y, x] = flux
    generator = torch.Generator().manual_seed(2)
    noise = SIGMA * torch.randn(SHAPE, generator=generator)
    return Convolution(psf, SHAPE, "reflect")(sky) + noise


PSF = gaussian_psf(4.0)


def test_numpy_in_numpy_out_and_big_endian_is_read(real_weights: Path) -> None:
    image = stars(PSF)
    as_torch = astro.deconvolve(image, PSF, SIGMA, weights=real_weights)
    fits_like = image.numpy().astype(">f4")
    as_numpy = astro.deconvolve(fits_like, PSF.numpy().astype(">f8"), SIGMA, weights=real_weights)
    assert isinstance(as_torch.image, Tensor) and isinstance(as_numpy.image, np.ndarray)
    assert np.array_equal(as_torch.image.numpy(), as_numpy.image)
    assert as_numpy.image.dtype == np.dtype("float32") and as_numpy.image.shape == SHAPE


@pytest.mark.parametrize("exponent", [-83, -60, -12, 12, 60, 83])
@pytest.mark.parametrize(
    "how",
    [
        {"keep_steps": True, "add_residual": True},
        {"error_map": 2},
        {"boundary": "valid"},
        {"method": "wiener"},
        {"method": "richardson-lucy"},
    ],
    ids=str,
)
def test_any_unit_gives_the_same_sky_in_that_unit(
    how: dict[str, Any], exponent: int, real_weights: Path
) -> None:
    """1e-25 to 1e25, digit by digit for powers of two; noise and level estimated or a map."""
    image, c = stars(PSF) + 3, 2.0**exponent
    sigma = SIGMA * (1 + torch.rand(SHAPE, generator=torch.Generator().manual_seed(1)))
    how = how | ({} if "method" in how else {"weights": real_weights})
    for noise in (None, sigma):
        one = astro.deconvolve(image, PSF, noise, **how)
        other = astro.deconvolve(c * image, PSF, None if noise is None else c * noise, **how)
        assert torch.equal(other.image, c * one.image)
        assert torch.equal(other.residual, one.residual) and other.chi2 == one.chi2
        assert all(torch.equal(b, c * a) for a, b in zip(one.steps, other.steps, strict=True))
        assert other.diagnostics.changes == pytest.approx(one.diagnostics.changes, rel=1e-5)
        assert (one.uncertainty is None) == ("error_map" not in how)
        if one.uncertainty is not None:
            assert torch.equal(other.uncertainty, c * one.uncertainty)


def test_bands_of_very_different_units_are_each_their_own(real_weights: Path) -> None:
    image = stars(PSF)
    sizes = torch.tensor([1.0, 2.0**-70, 2.0**70])[:, None, None]
    cube = astro.deconvolve(
        sizes * image, PSF, sizes * SIGMA, weights=real_weights, background=0.0, keep_steps=True
    )
    level = astro.deconvolve(image, PSF, SIGMA, weights=real_weights, background=0.0)
    assert torch.allclose(cube.image / sizes, level.image.expand(3, *SHAPE), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("method", ["richardson-lucy", "wiener"])
@pytest.mark.parametrize("boundary", ["reflect", "valid"])
def test_the_classical_methods_conserve_flux_and_sharpen(method: str, boundary: str) -> None:
    image = stars(PSF)
    result = astro.deconvolve(image, PSF, SIGMA, method=method, boundary=boundary)  # type: ignore[arg-type]
    assert result.image.shape == SHAPE
    assert float(result.image.sum()) == pytest.approx(float(image.sum()), rel=0.05)
    assert float(result.image.max()) > 1.2 * float(image.max())
    assert result.provenance["method"] == method


def test_an_unbiased_start_keeps_the_flux(real_weights: Path) -> None:
    """K has sum 1, so with the reflecting edge a constant sky is explained by itself."""
    constant = torch.full(SHAPE, 7.0)
    result = astro.deconvolve(constant, "moffat:4.5", 0.1, weights=real_weights)
    assert float(result.image.mean()) == pytest.approx(7.0, rel=0.02)


@pytest.mark.parametrize("method", ["rim", "richardson-lucy"])
def test_the_residual_goes_back_where_something_was_measured(
    method: Any, real_weights: Path, tmp_path: Path
) -> None:
    image, noise = stars(PSF), SIGMA * (1 + torch.rand(SHAPE))
    mask = torch.ones(SHAPE)
    mask[5:9, 20:30] = 0

    def found(add: bool, error_map: int | None = None) -> rimaging.Reconstruction:
        return astro.deconvolve(
            image,
            PSF,
            noise,
            mask,
            weights=real_weights,
            method=method,
            add_residual=add,
            error_map=error_map,
        )

    plain, back = found(False), found(True, 4)
    expected = plain.image + mask * noise * plain.residual
    assert torch.allclose(back.image, expected, atol=1e-4)
    assert torch.equal(back.residual, plain.residual) and back.chi2 == plain.chi2
    # what was put back carries the noise of the data, and the error map says so
    error = back.uncertainty
    assert isinstance(error, Tensor)
    assert float((error / noise)[mask > 0].median()) == pytest.approx(1, abs=0.5)
    back.save(tmp_path / "back.fits")
    assert rimaging.open(tmp_path / "back.fits").header["RIMADD"]


def test_a_wider_target_gives_a_wider_star() -> None:
    image = stars(PSF)
    peaks = [
        float(astro.deconvolve(image, PSF, SIGMA, target=t, method="wiener").image.max())
        for t in (0.0, 2.0, 3.0)
    ]
    assert peaks[0] > peaks[1] > peaks[2]


def test_a_narrow_psf_gets_a_narrower_target_and_says_so(real_weights: Path) -> None:
    image = stars(gaussian_psf(1.6))
    result = astro.deconvolve(image, 1.6, SIGMA, weights=real_weights)
    assert 1.0 < result.provenance["target_fwhm_pixels"] < 1.7
    assert any("too narrow" in note for note in result.provenance["assumed"])
    with pytest.raises(DataError, match="give target="):
        astro.deconvolve(image, 1.6, SIGMA, target=2.0, weights=real_weights)


def test_nan_pixels_are_masked_and_change_nothing_far_away(real_weights: Path) -> None:
    image = stars(PSF)
    broken = image.clone()
    broken[2, 2] = torch.nan
    result = astro.deconvolve(broken, PSF, SIGMA, weights=real_weights)
    assert bool(torch.isfinite(result.image).all())
    assert float(result.residual[2, 2]) == 0
    assert any("NaN" in note for note in result.provenance["assumed"])


def test_a_mask_of_bad_pixels_is_doubted() -> None:
    """NumPy's, photutils' and DQ's are true where a pixel is bad; taken as ours they leave few."""
    bad = torch.zeros(SHAPE)
    bad[3] = 1
    with pytest.warns(UserWarning, match=r"leaves 2\.5% of the pixels .* invert"):
        astro.deconvolve(stars(PSF), PSF, SIGMA, bad, method="wiener")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        astro.deconvolve(stars(PSF), PSF, SIGMA, 1 - bad, method="wiener")


def test_masked_pixels_need_no_noise() -> None:
    image, noise = stars(PSF), torch.full(SHAPE, SIGMA)
    mask = torch.ones(SHAPE)
    mask[3], noise[3] = 0, torch.nan
    found = astro.deconvolve(image, PSF, noise, mask, method="wiener").image
    same = astro.deconvolve(image, PSF, SIGMA, mask, method="wiener").image
    assert torch.allclose(found, same, rtol=1e-4, atol=1e-4)


def test_masked_pixels_do_not_count() -> None:
    mask = torch.ones(SHAPE)
    mask[5:8, 5:8] = 0
    image = stars(PSF)
    spoilt = torch.where(mask > 0, image, 1e4)
    clean = astro.deconvolve(image, PSF, SIGMA, mask, method="richardson-lucy")
    dirty = astro.deconvolve(spoilt, PSF, SIGMA, mask, method="richardson-lucy")
    assert torch.allclose(clean.image, dirty.image, atol=1e-3)
    assert bool((dirty.residual[mask == 0] == 0).all())


def test_bands_have_their_own_psf_and_noise(real_weights: Path) -> None:
    narrow = torch.nn.functional.pad(gaussian_psf(3.0), (2, 2, 2, 2))
    psfs = torch.stack([narrow, PSF])
    cube = torch.stack([stars(psf) for psf in psfs])
    noise = torch.tensor([SIGMA, 2 * SIGMA])[:, None, None]
    both = astro.deconvolve(cube, psfs, noise, weights=real_weights)
    for band in range(2):
        alone = astro.deconvolve(cube[band], psfs[band], float(noise[band]), weights=real_weights)
        assert torch.allclose(both.image[band], alone.image, rtol=1e-3, atol=1e-3)


def test_the_psf_comes_as_profile_width_or_file(tmp_path: Path) -> None:
    assert torch.equal(astro.as_psf("gaussian:3.5"), astro.as_psf(3.5))
    moffat = astro.as_psf("moffat:4:2.5")
    middle = moffat.shape[-1] // 2
    assert float(moffat.sum()) == pytest.approx(1, abs=1e-5)
    assert float(moffat[middle, middle + 2] / moffat[middle, middle]) == pytest.approx(0.5)
    np.save(tmp_path / "psf.npy", PSF.numpy())
    assert torch.equal(astro.as_psf(tmp_path / "psf.npy"), PSF)
    for text in ("gaussian", "moffat:wide", "moffat:1:2:3"):
        with pytest.raises(OptionError, match="no profile"):
            astro.as_psf(text)
    with pytest.raises(OptionError, match="beta"):
        astro.as_psf("moffat:4:0.5")
    with pytest.raises(FormatError):
        astro.as_psf(tmp_path / "absent.fits")


def test_an_even_unnormalised_psf_is_made_ready_and_said(real_weights: Path) -> None:
    with pytest.warns(UserWarning, match="padded"):
        even = astro.deconvolve(
            stars(PSF), 3 * PSF[:-1, :], SIGMA, target=1.0, weights=real_weights
        )
    notes = " ".join(even.provenance["assumed"])
    assert "normalised" in notes and "padded from" in notes


def test_fits_keep_their_header(real_weights: Path, tmp_path: Path) -> None:
    from astropy.io import fits

    header = fits.Header({"BUNIT": "nJy", "OBJECT": "test"})
    fits.writeto(tmp_path / "sky.fits", stars(PSF).numpy(), header)
    result = astro.deconvolve(tmp_path / "sky.fits", PSF, weights=real_weights)
    assert isinstance(result.image, np.ndarray)
    result.save(tmp_path / "out.fits")
    with fits.open(tmp_path / "out.fits") as file:
        assert file["SCI"].header["BUNIT"] == "nJy"
        assert np.allclose(file["SCI"].data, result.image)
        assert file["SCI"].shape == SHAPE


@pytest.mark.parametrize("target", [0.0, 2.0])
def test_res_is_what_its_comment_says(target: float, real_weights: Path, tmp_path: Path) -> None:
    from astropy.io import fits
    from scipy.ndimage import convolve

    data = stars(PSF)
    sky = astro.deconvolve(data, PSF, SIGMA, target=target, weights=real_weights)
    sky.save(tmp_path / "out.fits")
    with fits.open(tmp_path / "out.fits") as file:
        assert "(data - K * SCI) / sigma, where K * PSFOUT is the PSF" in str(
            file["RES"].header["COMMENT"]
        )
        kernel, seen = relative_kernel(PSF, target).numpy(), file["PSFOUT"].data
        apart = convolve(np.pad(seen, 12), kernel, mode="constant")
        whole = np.pad(PSF.numpy(), (apart.shape[0] - len(PSF)) // 2)
        assert np.abs(apart - whole).max() < 5e-3 * float(PSF.max())
        again = (data.numpy() - convolve(file["SCI"].data, kernel, mode="reflect")) / SIGMA
        assert np.abs(again - file["RES"].data).max() < 1e-3 * float(data.abs().max()) / SIGMA


def test_a_real_blend(data_root: Path, real_weights: Path) -> None:
    blend = np.load(data_root / "astro/hst_hsc/hsc_cosmos.npz")
    result = astro.deconvolve(blend["images"], blend["psfs"], weights=real_weights)
    assert result.image.shape == blend["images"].shape and np.isfinite(result.image).all()
    assert result.provenance["target_fwhm_pixels"] == 2.0


def test_the_psf_of_each_band_comes_from_its_own_stars(real_weights: Path) -> None:
    pytest.importorskip("photutils")
    generator = torch.Generator().manual_seed(2)
    bands = []
    for fwhm in (3.0, 4.5):
        sky = torch.zeros(220, 220)
        places = torch.randint(2, 12, (25, 2), generator=generator) * 18  # of which none touch
        for y, x in places.tolist():
            sky[y, x] = 3000 + 6000 * float(torch.rand((), generator=generator))
        seen = Convolution(gaussian_psf(fwhm), sky.shape, "zero")(sky)
        bands.append(100 + seen + torch.randn(sky.shape, generator=generator))
    image = torch.stack(bands)
    result = astro.deconvolve(image, "stars", 1.0, weights=real_weights)
    assert result.measurement is not None and result.measurement.psf is not None
    found = result.measurement.psf
    assert found.shape[0] == 2 and result.provenance["psf"] == "stars"
    for psf, fwhm in zip(found, (3.0, 4.5), strict=True):
        assert psf_shape(psf)[0] == pytest.approx(fwhm, rel=0.02)
    assert any("of its own stars" in note for note in result.provenance["assumed"])
    with pytest.raises(DataError, match="isolated and unsaturated"):
        astro.deconvolve(torch.randn(60, 60, generator=generator), "stars", 1.0)
    with pytest.raises(OptionError, match="rimaging psf IMAGE"):
        astro.as_psf("stars")


def test_an_ensemble_knows_no_direction(real_weights: Path) -> None:
    """Turned data give the turned answer, which one inference alone does not."""
    generator = torch.Generator().manual_seed(5)
    psf = PSF / PSF.sum()
    psf = 0.8 * psf + 0.2 * psf.roll(1, dims=-1)  # of no symmetry itself
    data = stars(psf) + 0.05 * torch.randn(stars(psf).shape, generator=generator)

    def differ(ensemble: bool) -> float:
        settings: dict[str, Any] = {"noise": SIGMA, "weights": real_weights, "ensemble": ensemble}
        plain = astro.deconvolve(data, psf, **settings).image
        turned = astro.deconvolve(torch.rot90(data), torch.rot90(psf), **settings).image
        difference = torch.rot90(torch.as_tensor(turned), -1) - torch.as_tensor(plain)
        return float(difference.abs().max() / torch.as_tensor(plain).abs().max())

    assert differ(True) < 1e-5 < 1e-4 < differ(False)


REFUSED: dict[str, tuple[type[Exception], str, dict[str, Any]]] = {
    "no PSF": (DataError, "needs a PSF", {"psf": None}),
    "two PSFs for one band": (ShapeError, "one for each band", {"psf": torch.stack([PSF, PSF])}),
    "a PSF with NaN": (DataError, "NaN", {"psf": torch.full((5, 5), torch.nan)}),
    "a dirty beam": (DataError, "positive sum", {"psf": torch.zeros(5, 5)}),
    "no noise": (DataError, "noise", {"noise": 0.0}),
    "negative noise": (DataError, "noise", {"noise": torch.tensor(-1.0)}),
    "a mask of another size": (ShapeError, "mask", {"mask": torch.ones(3, 3)}),
    "a negative target": (OptionError, "FWHM", {"target": -1.0}),
    "unknown method": (OptionError, "wiener", {"method": "clean"}),
    "unknown boundary": (OptionError, "valid", {"boundary": "edge"}),
    "iterations of a RIM": (OptionError, "richardson-lucy", {"iterations": 3}),
    "ratio of a RIM": (OptionError, "wiener", {"noise_to_signal": 0.1}),
    "an ensemble of Wiener": (OptionError, "network", {"method": "wiener", "ensemble": True}),
    "steps of Wiener": (OptionError, "RIM", {"method": "wiener", "steps": 2}),
    "unknown weights": (WeightsError, "no weights", {"weights": "nonsense"}),
    "half an iteration": (
        OptionError,
        "whole number",
        {"method": "richardson-lucy", "iterations": 2.5},
    ),
    "half a step": (OptionError, "whole number", {"steps": 1.5}),
    "a map of the sky": (OptionError, "one number", {"background": torch.ones(4, 4)}),
    "a map of the gain": (OptionError, "one number", {"noise": None, "gain": torch.ones(4, 4)}),
    "a target in words": (OptionError, "one number", {"target": "narrow"}),
}


@pytest.mark.parametrize("kind", [np.float32, np.array, torch.tensor, int])
def test_a_width_may_be_a_number_of_any_kind(kind: Any, real_weights: Path) -> None:
    plain, other = (
        astro.deconvolve(
            stars(PSF), width, SIGMA, weights=real_weights, background=kind(0), error_map=None
        )
        for width in (4.0, kind(4))
    )
    assert torch.equal(torch.as_tensor(plain.image), torch.as_tensor(other.image))
    assert plain.provenance["psf"] == other.provenance["psf"] == "gaussian:4"


def test_a_list_is_an_array(real_weights: Path) -> None:
    plain, other = (
        astro.deconvolve(stars(PSF), psf, SIGMA, weights=real_weights).image
        for psf in (PSF, PSF.tolist())
    )
    assert torch.equal(torch.as_tensor(plain), torch.as_tensor(other))


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case: str, real_weights: Path) -> None:
    kind, words, arguments = REFUSED[case]
    given = {"psf": PSF, "noise": SIGMA, "weights": real_weights, **arguments}
    with pytest.raises(kind, match=words):
        astro.deconvolve(stars(PSF), **given)


def test_the_package_has_the_door() -> None:
    assert rimaging.astro.deconvolve is astro.deconvolve


def test_a_background_comes_out_as_it_went_in(real_weights: Path) -> None:
    g = torch.Generator().manual_seed(0)
    y = torch.randn(40, 44, generator=g)
    y[18:22, 20:24] += 30
    one = astro.deconvolve(y, 3.0, 1.0, weights=real_weights).image
    other = astro.deconvolve(y + 512, 3.0, 1.0, weights=real_weights)
    assert torch.allclose(other.image - 512, one, atol=1e-2)
    assert any("background" in note for note in other.provenance["assumed"])
    given = astro.deconvolve(y + 512, 3.0, 1.0, weights=real_weights, background=512.0).image
    assert torch.allclose(given - 512, one, atol=0.2)


def test_a_background_above_the_sky_is_refused(real_weights: Path) -> None:
    """That of a sky that was taken off: the flux of a star came out up to 17 times too large."""
    y = torch.randn(40, 44, generator=torch.Generator().manual_seed(0))
    y[18:22, 20:24] += 30
    for options in ({"noise": 1.0}, {"gain": 1.0}):
        with pytest.raises(
            DataError, match=r"background is 300 and 100\.0% of the pixels lie below"
        ):
            astro.deconvolve(y, 3.0, weights=real_weights, background=300.0, **options)


def test_a_psf_that_varies_comes_from_its_model(real_weights: Path, tmp_path: Path) -> None:
    from tests.datasets.test_psfex import write

    path = write(tmp_path / "field.psf")
    image = torch.zeros(SHAPE)
    image[20, 18] = 50.0
    varying = astro.as_varying(path)
    assert varying is not None and astro.as_varying("moffat:4") is None
    seen = astro.varying_operator(varying, image)(image)
    result = astro.deconvolve(seen, path, SIGMA, weights=real_weights)
    assert result.image.shape == SHAPE and result.provenance["psf"] == "field.psf"
    kernel = varying.relative(1.0)
    assert float(astro.varying_operator(kernel, image)(image).sum()) == pytest.approx(50, rel=1e-4)
    valid = astro.deconvolve(seen, path, SIGMA, weights=real_weights, boundary="valid")
    assert valid.image.shape == SHAPE
    with pytest.raises(OptionError, match="method='rim'"):
        astro.deconvolve(seen, path, SIGMA, method="wiener")


def test_a_constant_model_is_the_constant_psf(real_weights: Path) -> None:
    from rimaging.datasets.varying_psf import Grid, VaryingPsf

    same = VaryingPsf(torch.stack((PSF, PSF)), Grid((0.0,), (0.0, 30.0)), "same")
    image = stars(PSF)
    plain = astro.deconvolve(image, PSF, SIGMA, weights=real_weights)
    varying = astro.deconvolve(image, same, SIGMA, weights=real_weights)
    assert torch.allclose(varying.image, plain.image, atol=1e-3 * float(plain.image.max()))


def test_the_beam_of_a_radio_image_is_its_psf(real_weights: Path, tmp_path: Path) -> None:
    from astropy.io import fits

    header = fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "BUNIT": "Jy/beam"})
    header.update({"CDELT1": -1 / 3600, "CDELT2": 1 / 3600, "BMAJ": 5 / 3600, "BMIN": 4 / 3600})
    fits.writeto(tmp_path / "map.fits", stars(PSF).numpy(), header)
    found = astro.deconvolve(tmp_path / "map.fits", weights=real_weights)
    assert any("beam" in note for note in found.provenance["assumed"])
    with pytest.raises(DataError, match="states no beam"):
        astro.deconvolve(stars(PSF), "beam", SIGMA, weights=real_weights)


def test_photon_noise_through_the_door(real_weights: Path) -> None:
    gain, read = 3.0, 4.0
    image = 20 + 5 * (stars(PSF) - SIGMA * 0)
    result = astro.deconvolve(image, PSF, gain=gain, read_noise=read, weights=real_weights)
    same = astro.deconvolve(
        gain * image, PSF, gain=1.0, read_noise=read, background=None, weights=real_weights
    )
    assert torch.allclose(gain * result.image, same.image, rtol=1e-4, atol=1e-2)
    assert result.provenance["gain"] == gain
    said = [note for note in result.provenance["assumed"] if "noise" in note]
    assert len(said) == 1 and "3 electrons per unit" in said[0] and "4 electrons" in said[0]
    assert result.measurement is not None
    sky = float(torch.as_tensor(result.measurement.noise).square())
    assert sky == pytest.approx((gain * 20 + read**2) / gain**2, rel=0.05)
    lucy = astro.deconvolve(image, PSF, gain=gain, read_noise=read, method="richardson-lucy")
    assert float(lucy.image.sum()) == pytest.approx(float(image.sum()), rel=0.05)
    with pytest.raises(OptionError, match="twice"):
        astro.deconvolve(image, PSF, SIGMA, gain=gain)
    with pytest.raises(OptionError, match="needs gain"):
        astro.deconvolve(image, PSF, read_noise=3.0)


def test_saturated_pixels_do_not_count_and_are_flagged(real_weights: Path, tmp_path: Path) -> None:
    from astropy.io import fits

    fits.writeto(tmp_path / "sky.fits", stars(PSF).numpy(), fits.Header({"BUNIT": "adu"}))
    level = 0.6 * float(stars(PSF).max())
    result = astro.deconvolve(
        tmp_path / "sky.fits", PSF, SIGMA, saturation=level, weights=real_weights
    )
    full = stars(PSF).numpy() >= level
    assert full.any() and bool((result.residual[full] == 0).all())
    result.save(tmp_path / "out.fits")
    with fits.open(tmp_path / "out.fits") as hdus:
        bit = 1 << hdus["DQ"].header["RIMSAT"]
        assert np.array_equal(hdus["DQ"].data & bit > 0, full)


def test_of_photons_no_noise_is_estimated(real_weights: Path) -> None:
    result = astro.deconvolve(20 + stars(PSF), PSF, gain=3.0, read_noise=4.0, weights=real_weights)
    assert not any("estimated" in note for note in result.provenance["assumed"])
    level = 20.0
    assert result.measurement is not None
    sigma = float(torch.as_tensor(result.measurement.noise))
    assert sigma == pytest.approx((3.0 * level + 16) ** 0.5 / 3.0, rel=0.05)


@pytest.mark.parametrize(
    "psf", [math.inf, math.nan, 1e7, "gaussian:inf", "moffat:inf", "moffat:3:inf"]
)
def test_a_width_that_cannot_be_is_refused(psf: float | str) -> None:
    with pytest.raises(OptionError):
        astro.as_psf(psf)


def test_channels_take_their_own_psfs_of_a_cube(real_weights: Path, tmp_path: Path) -> None:
    from astropy.io import fits

    psfs = torch.stack([PSF, 0.9 * PSF + 0.1 * PSF.roll(1, -1), PSF.roll(1, -2)])
    cube = torch.stack([stars(psf) for psf in psfs])
    fits.writeto(tmp_path / "cube.fits", cube.numpy())
    fits.writeto(tmp_path / "psfs.fits", psfs.numpy())
    path, settings = tmp_path / "psfs.fits", {"noise": SIGMA, "weights": real_weights}
    part = rimaging.open(tmp_path / "cube.fits", kind="sky", channels="1:3")
    found = astro.deconvolve(part, path, **settings)
    expected = astro.deconvolve(cube[1:], psfs[1:], **settings)
    assert np.allclose(found.image, expected.image, atol=1e-5)


def test_zeros_around_a_footprint_are_as_nan_at_the_door(real_weights: Path) -> None:
    image = stars(PSF) + 3
    outside = torch.zeros(SHAPE, dtype=torch.bool)
    outside[:12] = True
    zero, nan = (
        astro.deconvolve(torch.where(outside, value, image), PSF, weights=real_weights)
        for value in (0.0, torch.nan)
    )
    inside = ~outside
    assert torch.allclose(zero.image[inside], nan.image[inside], atol=1e-5)
    assert zero.measurement is not None and nan.measurement is not None
    assert zero.measurement.noise == nan.measurement.noise and zero.chi2 == nan.chi2
    flags = zero.to_hdulist()["DQ"].data
    assert np.array_equal(flags != 0, outside.numpy())
    assert any("never exposed" in note for note in zero.provenance["assumed"])


def test_inverse_variances_are_read_as_sigma(tmp_path: Path) -> None:
    from astropy.io import fits

    sky = 10 + 2 * torch.randn(48, 48, generator=torch.Generator().manual_seed(0)).numpy()
    sky[10:14, 20:24] = 1e5
    inverse = np.full((48, 48), 0.25, dtype=np.float32)
    inverse[10:14, 20:24] = 0
    planes = [fits.ImageHDU(sky, name="SCI"), fits.ImageHDU(inverse, name="IVAR")]
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(tmp_path / "sky.fits")
    noise = read_fits_noise(f"{tmp_path}/sky.fits[IVAR]")
    with pytest.raises(DataError, match=r"not finite at 16 values.*mask those pixels"):
        astro.deconvolve(sky, "moffat:3", noise)
    mask = (inverse > 0).astype(np.float32)
    found = astro.deconvolve(sky, "moffat:3", noise, mask=mask)
    stated = astro.deconvolve(sky, "moffat:3", np.full((48, 48), 2.0), mask=mask)
    assert np.allclose(found.image, stated.image, rtol=1e-5)
