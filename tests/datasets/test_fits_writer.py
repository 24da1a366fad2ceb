from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from rimaging.datasets.fits import read_fits
from rimaging.datasets.fits_writer import write_fits
from rimaging.errors import ShapeError

SIP = fits.Header(
    [
        ("CTYPE1", "RA---TAN-SIP"),
        ("CTYPE2", "DEC--TAN-SIP"),
        ("CRVAL1", 10.0),
        ("CRVAL2", 20.0),
        ("CRPIX1", 16.0),
        ("CRPIX2", 20.0),
        ("CD1_1", -1e-4),
        ("CD1_2", 2e-5),
        ("CD2_1", 2e-5),
        ("CD2_2", 1e-4),
        ("A_ORDER", 2),
        ("A_2_0", 1e-3),
        ("B_ORDER", 2),
        ("B_0_2", -2e-3),
        ("BUNIT", "nanomaggy"),
        ("BSCALE", 0.5),
        ("BLANK", -1),
        ("DATAMAX", 9.0),
    ]
)
IMAGE = np.random.default_rng(0).normal(size=(40, 32)).astype(np.float32)


def write(path: Path, image: np.ndarray = IMAGE, **more: np.ndarray) -> Path:
    write_fits(
        path,
        {"image": image, **more},
        SIP,
        data_shape=(40, 32),
        history="a history that is longer than one card of a FITS file can ever hold in its line",
        version="1",
    )
    return path


def test_the_header_survives_with_sip_and_unit(tmp_path: Path) -> None:
    with fits.open(write(tmp_path / "f.fits"), checksum=True) as hdus:
        header = hdus["SCI"].header
        for name in ("A_2_0", "B_0_2", "CD1_2", "BUNIT", "CRPIX1"):
            assert header[name] == SIP[name]
        assert not {"BSCALE", "BLANK", "DATAMAX"} & set(header)
        assert len(header["HISTORY"]) == 1
        assert all(hdu.verify_checksum() == 1 and hdu.verify_datasum() == 1 for hdu in hdus)
        assert hdus["SCI"].data.dtype == np.dtype(">f4")
        assert np.array_equal(hdus["SCI"].data, IMAGE)


def test_the_sky_stays_where_it_was_when_the_image_grows(tmp_path: Path) -> None:
    wide = np.pad(IMAGE, ((3, 3), (5, 5)))
    path = write(tmp_path / "f.fits", wide, residual=IMAGE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = WCS(SIP).all_pix2world([[4.0, 7.0], [30.0, 2.0]], 0)
        after = WCS(fits.getheader(path, "SCI")).all_pix2world([[9.0, 10.0], [35.0, 5.0]], 0)
        same = WCS(fits.getheader(path, "RES")).all_pix2world([[4.0, 7.0], [30.0, 2.0]], 0)
    assert np.allclose(before, after, rtol=0, atol=1e-10)
    assert np.allclose(before, same, rtol=0, atol=1e-10)


def test_another_sampling_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="header describes"):
        write(tmp_path / "f.fits", np.zeros((80, 64)))


def test_error_and_quality_are_read_again(tmp_path: Path) -> None:
    mask = np.ones((40, 32), np.float32)
    mask[3, 4] = 0
    error = np.full((40, 32), 0.5, np.float32)
    path = write(tmp_path / "f.fits", uncertainty=error, mask=mask)
    m = read_fits(path)
    assert m.mask is not None
    assert np.array_equal(m.mask.numpy(), mask)
    assert np.array_equal(np.asarray(m.noise), error)
    assert "BUNIT" not in fits.getheader(path, "DQ")
    assert "BUNIT" in fits.getheader(path, "ERR")


def test_a_real_header_comes_through_card_by_card(data_root: Path, tmp_path: Path) -> None:
    source = data_root / "astro/m17_2mass/aK_asky_990502s1350092.fits.gz"
    m = read_fits(source)
    path = tmp_path / "f.fits"
    shape = tuple(m.data.shape)
    arrays = {"image": m.data.numpy()}
    write_fits(path, arrays, m.header, data_shape=shape, history="x", version="1")
    header = fits.getheader(path, "SCI")
    skipped = {"SIMPLE", "EXTEND", "BITPIX", "HISTORY", "COMMENT", "", "DATAMIN", "DATAMAX"}
    for card in fits.getheader(source).cards:
        if card.keyword not in skipped and not card.keyword.startswith("NAXIS"):
            assert header[card.keyword] == card.value, card.keyword
