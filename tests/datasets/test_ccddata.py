"""Astropy's CCDData brings its mask, uncertainty, unit, header and PSF along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import (
    CCDData,
    InverseVariance,
    NDData,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)
from astropy.wcs import WCS

from rimaging import astro
from rimaging.datasets.ccddata import is_nddata
from rimaging.datasets.sources import as_measurement
from rimaging.errors import DataError

SHAPE = (30, 32)


def image() -> np.ndarray:
    data = np.random.default_rng(0).normal(50, 1, SHAPE).astype(np.float32)
    data[14, 15] += 300
    return data


def wcs() -> WCS:
    found = WCS(naxis=2)
    found.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    found.wcs.crval, found.wcs.cdelt, found.wcs.crpix = [10, 20], [-1e-4, 1e-4], [3, 4]
    return found


@pytest.mark.parametrize("form", ["fits", "npz", "npy", "zarr", "ccddata", "array"])
def test_no_mask_that_is_given_makes_nan_good(tmp_path: Path, form: str) -> None:
    """It overrules flags alone: pixels without a value were the median, taken for measured."""
    data = image()
    data[5:9] = np.nan
    path: Any = tmp_path / f"sky.{form}"
    if form == "fits":
        flags = np.zeros(SHAPE, np.int32)
        flags[12] = 1
        hdus = [fits.ImageHDU(data, name="SCI"), fits.ImageHDU(flags, name="DQ")]
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    elif form == "npz":
        np.savez(path, image=data, psf=np.ones((3, 3)))
    elif form == "npy":
        np.save(path, data)
    elif form == "zarr":
        zarr = pytest.importorskip("zarr")
        store = zarr.open_array(str(path), mode="w", shape=SHAPE, dtype="f4", chunks=(8, 8))
        store[:] = data
    else:
        path = CCDData(data, unit="adu") if form == "ccddata" else data
    good = np.ones(SHAPE, np.float32)
    good[20] = 0
    found = as_measurement(path, "sky", mask=good).mask
    assert found is not None
    assert np.array_equal(found.numpy() > 0, (good > 0) & np.isfinite(data))


def test_noise_with_a_unit_is_in_that_of_the_image() -> None:
    from astropy import units

    ccd = CCDData(image(), unit="mJy")
    for sky in (ccd, image() * units.mJy):
        for noise in (2000 * units.uJy, np.full(SHAPE, 2000.0) * units.uJy):
            found = as_measurement(sky, "sky", noise=noise)
            assert found.units == "mJy" and found.header is not None
            assert np.allclose(np.asarray(found.noise), 2)
        with pytest.raises(DataError, match="noise is in adu and the image in mJy"):
            as_measurement(sky, "sky", noise=2 * units.adu)


def test_the_wcs_replaces_that_of_the_header_that_came_along() -> None:
    """A resampled image with the header from before: its CD and SIP lay beside the new PC."""
    old = fits.Header({"CD1_1": -5e-5, "CD1_2": 1e-5, "CD2_1": 1e-5, "CD2_2": 5e-5, "EXPTIME": 3.0})
    old.update(
        {"A_ORDER": 2, "A_2_0": 1e-3, "B_ORDER": 2, "B_0_2": 1e-3, "PV1_1": 1.1, "CROTA2": 9}
    )
    ccd = CCDData(image(), unit="adu", wcs=wcs(), meta=old)
    header = as_measurement(ccd, "sky").header
    assert header is not None and header["EXPTIME"] == 3
    assert not [card for card in header if card.startswith(("CD1_", "CD2_", "A_", "B_", "PV"))]
    ours, wanted = (one.wcs_pix2world([[25.0, 7.0]], 0) for one in (WCS(header), wcs()))
    assert np.array_equal(ours, wanted) and WCS(header).sip is None


@pytest.mark.parametrize(
    ("kind", "power"), [(StdDevUncertainty, 1), (VarianceUncertainty, 2), (InverseVariance, -2)]
)
def test_it_is_the_array_with_its_mask_and_noise(kind: Any, power: int, real_weights: Path) -> None:
    bad = np.zeros(SHAPE, bool)
    bad[3, 4] = bad[20, 2:5] = True
    sigma = np.linspace(2, 4, SHAPE[0] * SHAPE[1]).reshape(SHAPE)
    ccd = CCDData(
        image(), unit="adu", mask=bad, wcs=wcs(), uncertainty=kind(sigma**power), meta={"OBJECT": 1}
    )
    found = astro.deconvolve(ccd, 3.0, weights=real_weights)
    same = astro.deconvolve(image(), 3.0, sigma, ~bad, weights=real_weights)
    assert isinstance(found.image, np.ndarray)
    assert np.allclose(found.image, same.image, rtol=1e-6, atol=1e-4)
    assert found.measurement is not None and found.measurement.units == "adu"
    science = found.to_hdulist()["SCI"].header
    assert science["OBJECT"] == 1 and science["BUNIT"] == "adu" and science["CRVAL2"] == 20
    back = found.to_ccddata()
    assert back.unit == "adu" and np.array_equal(back.mask, bad)


def test_arguments_overrule_it_and_units_of_the_noise_are_those_of_the_data() -> None:
    ccd = CCDData(image(), unit="Jy", uncertainty=StdDevUncertainty(2000.0, unit="mJy"))
    assert np.allclose(as_measurement(ccd, "sky").noise, 2)
    assert as_measurement(ccd, "sky", noise=3.0).noise == 3


def test_nan_and_noise_that_is_none_are_masked() -> None:
    data, sigma = image(), np.ones(SHAPE)
    data[1, 1], sigma[2, 2] = np.nan, 0
    found = as_measurement(CCDData(data, unit="adu", uncertainty=StdDevUncertainty(sigma)), "sky")
    assert found.mask is not None
    assert [tuple(place) for place in (found.mask == 0).nonzero().tolist()] == [(1, 1), (2, 2)]
    assert len(found.provenance["assumed"]) == 2


def test_what_has_nothing_is_an_array_and_what_says_nothing_is_refused() -> None:
    plain = as_measurement(NDData(image()), "sky")
    assert plain.noise is None and plain.mask is None and plain.units is None
    header = fits.Header({"SATURATE": 200.0})
    assert (
        as_measurement(CCDData(image(), unit="adu", meta=header), "sky").header["SATURATE"] == 200
    )
    with pytest.raises(DataError, match="UnknownUncertainty, expected StdDev"):
        as_measurement(CCDData(image(), unit="adu", uncertainty=UnknownUncertainty(1.0)), "sky")
    assert not is_nddata(image())


@pytest.mark.parametrize(
    "meta", [{"SEEING": float("nan")}, {"observer": "Müller"}, {"note": "a\nb"}, {"a=b": 1}]
)
def test_cards_that_fits_cannot_hold_are_left_out(meta: dict[str, Any]) -> None:
    source = CCDData(np.ones((6, 5)), unit="adu", meta={**meta, "GAIN": 2.0})
    found = as_measurement(source, "sky")
    assert found.header is not None and found.header["GAIN"] == 2.0
