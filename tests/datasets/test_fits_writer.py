from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.wcs import WCS

from rimaging.datasets.fits import read_fits
from rimaging.datasets.fits_writer import PLANES, fits_hdus
from rimaging.datasets.measurement import Measurement
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


def sky(header: fits.Header | None = SIP, **more: object) -> Measurement:
    data = torch.from_numpy(IMAGE)
    return Measurement(kind="sky", data=data, noise=1.0, header=header, **more)


def write(
    path: Path, image: np.ndarray = IMAGE, measurement: Measurement | None = None, **more: object
) -> Path:
    history = "a history that is longer than one card of a FITS file can ever hold in its line"
    hdus, _ = fits_hdus(image, measurement or sky(), history=history, **more)
    hdus.writeto(path, checksum=True)
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


def test_another_sampling_rescales_pixel_and_distortion(tmp_path: Path) -> None:
    path = write(tmp_path / "f.fits", np.zeros((120, 96)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # pixel p of the input is the middle of pixels 3p .. 3p + 2
        before = WCS(SIP).all_pix2world([[4.0, 7.0], [30.0, 2.0]], 0)
        after = WCS(fits.getheader(path, "SCI")).all_pix2world([[13.0, 22.0], [91.0, 7.0]], 0)
    assert np.allclose(before, after, rtol=0, atol=1e-10)


def test_a_sampling_that_no_factor_explains_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="header describes"):
        write(tmp_path / "f.fits", np.zeros((80, 60)))


def test_error_and_quality_are_read_again(tmp_path: Path) -> None:
    mask = np.ones((40, 32), np.float32)
    mask[3, 4] = 0
    bits = np.zeros((40, 32), np.int32)
    bits[5, 6] = 4096
    error = np.full((40, 32), 0.5, np.float32)
    given = sky(mask=torch.from_numpy(mask), quality=bits)
    path = write(tmp_path / "f.fits", measurement=given, uncertainty=error)
    m = read_fits(path)
    assert m.mask is not None
    mask[5, 6] = 0
    assert np.array_equal(m.mask.numpy(), mask)
    assert np.array_equal(np.asarray(m.noise), error)
    header = fits.getheader(path, "DQ")
    assert "BUNIT" not in header
    flags = fits.getdata(path, "DQ")
    assert flags[5, 6] == 4096
    assert flags[3, 4] == 1 << header["RIMFILL"]
    assert "BUNIT" in fits.getheader(path, "ERR")


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_our_flags_never_fall_on_bits_of_the_input(kind: type) -> None:
    bits = np.full((40, 32), (1 << 24) | (1 << 25), kind)
    mask = torch.ones(40, 32)
    mask[0, 0] = 0
    header = fits.Header([("SATURATE", float(IMAGE.max()))])
    hdus, _ = fits_hdus(IMAGE, sky(header, mask=mask, quality=bits))
    planes = {hdus["DQ"].header[name] for name in PLANES}
    assert len(planes) == 2
    assert not planes & {24, 25}
    flags = hdus["DQ"].data
    assert np.array_equal(flags & ((1 << 24) | (1 << 25)), bits)
    full = 1 << hdus["DQ"].header["RIMSAT"]
    assert np.array_equal((flags & full) > 0, IMAGE.max() == IMAGE)


def test_cards_say_how_the_image_was_made(tmp_path: Path) -> None:
    facts = {
        "method": "rim",
        "weights": {"name": "astro", "sha256": "a" * 64},
        "steps": 6,
        "chi2": 1.01,
        "psf": "psf.fits[1]",
        "target_fwhm_pixels": 2.0,
        "assumed": ["noise 1 estimated from differences of neighbouring pixels"],
    }
    path = write(tmp_path / "f.fits", provenance=facts, residual=IMAGE)
    header = fits.getheader(path, "SCI")
    expected = {
        "RIMMODEL": "astro",
        "RIMHASH": "a" * 64,
        "RIMSTEPS": 6,
        "RIMTILE": 0,
        "RIMHALO": 0,
        "RIMSEAM": 0.0,
        "RIMCHI2": 1.01,
        "RIMPSF": "psf.fits[1]",
        "PSFFWHM": 2.0,
        "NOISEMDL": "RMS, estimated",
    }
    assert {name: header[name] for name in expected} == expected
    assert header["DATE"]
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "RES", "PSFOUT"]
        assert hdus[0].data is None
        assert hdus["PSFOUT"].data.sum() == pytest.approx(1, abs=1e-6)
        middle = hdus["PSFOUT"].data
        assert middle[middle.shape[0] // 2, middle.shape[1] // 2] == middle.max()
        assert "BUNIT" not in hdus["RES"].header


def test_a_real_header_comes_through_card_by_card(data_root: Path, tmp_path: Path) -> None:
    source = data_root / "astro/m17_2mass/aK_asky_990502s1350092.fits.gz"
    m = read_fits(source)
    path = tmp_path / "f.fits"
    fits_hdus(m.data.numpy(), m)[0].writeto(path)
    header = fits.getheader(path, "SCI")
    skipped = {
        "BLOCKED",
        "SIMPLE",
        "EXTEND",
        "BITPIX",
        "HISTORY",
        "COMMENT",
        "",
        "DATAMIN",
        "DATAMAX",
        "DATE",
    }
    for card in fits.getheader(source).cards:
        if card.keyword not in skipped and not card.keyword.startswith("NAXIS"):
            assert header[card.keyword] == card.value, card.keyword


def test_a_keyword_that_the_input_repeats_is_written_once(tmp_path: Path) -> None:
    header = SIP.copy()
    header.append(("ORIGIN", "NOAO", "first"))
    for line in ("one", "two"):
        header.add_comment(line)
    header.append(("ORIGIN", "STScI", "second"))
    assert len([card for card in header if card == "ORIGIN"]) == 2
    path = write(tmp_path / "f.fits", measurement=sky(header))
    written = fits.getheader(path, "SCI")
    assert [card for card in written if card == "ORIGIN"] == ["ORIGIN"]
    assert written["ORIGIN"] == "NOAO"
    assert list(written["COMMENT"]) == ["one", "two"]


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.int64])
def test_a_sign_is_a_bit_like_others(kind: type, tmp_path: Path) -> None:
    bits = np.zeros((40, 32), kind)
    bits[5, 6] = np.iinfo(kind).min
    path = tmp_path / "f.fits"
    given = [fits.ImageHDU(IMAGE, name="SCI"), fits.ImageHDU(bits, name="DQ")]
    fits.HDUList([fits.PrimaryHDU(), *given]).writeto(path)
    m = read_fits(path)
    assert m.mask is not None and m.mask[5, 6] == 0 and int((m.mask == 0).sum()) == 1
    hdus, _ = fits_hdus(IMAGE, m)
    flags, header = hdus["DQ"].data, hdus["DQ"].header
    own = 8 * np.dtype(kind).itemsize - 1
    filled = 1 << header["RIMFILL"]
    assert header["RIMFILL"] != own != header["RIMSAT"]
    assert np.count_nonzero(flags) == 1
    assert int(flags[5, 6]) & ((1 << 64) - 1) == (1 << own) | filled


def test_where_the_input_uses_every_bit_ours_are_left_out() -> None:
    bits = np.full((40, 32), -1, np.int64)
    hdus, _ = fits_hdus(IMAGE, sky(quality=bits))
    assert np.array_equal(hdus["DQ"].data, bits)
    assert not set(PLANES) & set(hdus["DQ"].header)


def test_of_photons_the_noise_is_said_to_be_theirs() -> None:
    hdus, _ = fits_hdus(IMAGE, sky(), provenance={"gain": 2.0, "assumed": ["noise estimated from"]})
    assert hdus["SCI"].header["NOISEMDL"] == "Poisson, by gain and read noise"
