from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, VarianceUncertainty

from rimaging.datasets.fits import read_fits, read_psfs, split_extension
from rimaging.errors import FormatError


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 5, shape).astype(np.float32)


def write(path: Path, *hdus: fits.ImageHDU, primary: fits.Header | None = None) -> Path:
    fits.HDUList([fits.PrimaryHDU(header=primary), *hdus]).writeto(path, checksum=True)
    return path


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i2", ">i4", "u1", ">u2"])
def test_every_number_type_becomes_native_float32(tmp_path: Path, dtype: str) -> None:
    values = np.arange(60).reshape(6, 10).astype(dtype)
    path = tmp_path / "f.fits"
    fits.PrimaryHDU(values.astype(values.dtype.newbyteorder("="))).writeto(path)
    m = read_fits(path)
    assert m.data.dtype == torch.float32
    assert np.array_equal(m.data.numpy(), values)


def test_scaled_integers_and_blank_pixels(tmp_path: Path) -> None:
    values = np.arange(60, dtype=np.int16).reshape(6, 10)
    hdu = fits.PrimaryHDU(values)
    hdu.header["BSCALE"], hdu.header["BZERO"], hdu.header["BLANK"] = 0.5, 10.0, 7
    path = tmp_path / "f.fits"
    with fits.open(path, "append") as hdus:  # as is, without scaling on the way out
        hdus.append(hdu)
    raw = path.read_bytes()
    assert b"BSCALE" in raw
    m = read_fits(path)
    assert m.mask is not None
    assert int((m.mask == 0).sum()) == 1
    assert m.mask.flatten()[7] == 0
    expected = 10 + 0.5 * values
    assert np.array_equal(m.data.numpy()[m.mask > 0], expected[m.mask.numpy() > 0])
    assert m.header is not None
    assert m.header["BSCALE"] == 0.5


def test_nan_pixels_are_filled_and_weigh_nothing(tmp_path: Path) -> None:
    values = image(20, 30)
    values[2, 3] = np.nan
    m = read_fits(write(tmp_path / "f.fits", fits.ImageHDU(values, name="SCI")))
    assert m.mask is not None
    assert m.mask[2, 3] == 0
    assert int(m.mask.sum()) == 599
    assert "1 NaN" in m.provenance["assumed"][0]


def test_companions_give_noise_and_mask(tmp_path: Path) -> None:
    error, quality = np.full((20, 30), 5, np.float32), np.zeros((20, 30), np.int16)
    error[0, 0], error[0, 1], quality[5, 5] = 0, np.nan, 4
    hdus = [
        fits.ImageHDU(image(20, 30), name="SCI"),
        fits.ImageHDU(error, name="ERR"),
        fits.ImageHDU(quality, name="DQ"),
        fits.ImageHDU(np.ones((7, 7), np.float32), name="PSF"),
    ]
    m = read_fits(write(tmp_path / "f.fits", *hdus))
    assert m.mask is not None
    assert {tuple(i) for i in torch.nonzero(m.mask == 0).tolist()} == {(0, 0), (0, 1), (5, 5)}
    assert isinstance(m.noise, torch.Tensor)
    assert bool((m.noise == 5).all())
    assert m.psf is not None
    assert m.provenance["companions"] == ["DQ", "ERR", "PSF"]
    assert torch.isfinite(m.likelihood().score(torch.zeros(20, 30))).all()


def test_weights_give_relative_noise(tmp_path: Path) -> None:
    weight = np.ones((64, 64), np.float32)
    weight[:, 32:] = 4
    weight[0] = 0
    values = np.random.default_rng(0).normal(size=(64, 64)) / np.sqrt(np.maximum(weight, 1))
    hdus = [fits.ImageHDU(values, name="SCI"), fits.ImageHDU(weight, name="WHT")]
    m = read_fits(write(tmp_path / "f.fits", *hdus))
    assert isinstance(m.noise, torch.Tensor)
    assert float(m.noise[5, 5]) == pytest.approx(1, rel=0.1)
    assert float(m.noise[5, 50]) == pytest.approx(0.5, rel=0.1)
    assert m.mask is not None
    assert bool((m.mask[0] == 0).all())


@pytest.mark.filterwarnings("ignore:Keyword name 'MP_DETECTED'")
def test_variance_and_mask_planes_of_lsst(tmp_path: Path) -> None:
    bits = np.zeros((20, 30), np.int32)
    bits[1, 1], bits[2, 2] = 1, 32
    mask = fits.ImageHDU(bits, name="MASK")
    mask.header["MP_BAD"], mask.header["MP_DETECTED"] = 0, 5
    hdus = [
        fits.ImageHDU(image(20, 30), name="IMAGE"),
        mask,
        fits.ImageHDU(np.full((20, 30), 25, np.float32), name="VARIANCE"),
    ]
    m = read_fits(write(tmp_path / "f.fits", *hdus))
    assert m.mask is not None
    assert m.mask[1, 1] == 0
    assert m.mask[2, 2] == 1
    assert float(torch.as_tensor(m.noise).max()) == 5


@pytest.mark.parametrize(
    ("kind", "value"), [(StdDevUncertainty, 2), (VarianceUncertainty, 4), (InverseVariance, 0.25)]
)
def test_uncertainties_of_ccddata(tmp_path: Path, kind: type, value: float) -> None:
    mask = np.zeros((20, 30), bool)
    mask[4, 4] = True
    uncertainty = kind(np.full((20, 30), value))
    path = tmp_path / "f.fits"
    CCDData(image(20, 30), unit="adu", uncertainty=uncertainty, mask=mask).write(path)
    m = read_fits(path)
    assert bool((torch.as_tensor(m.noise) == 2).all())
    assert m.mask is not None
    assert np.array_equal(m.mask.numpy() == 0, mask)


def test_extensions_are_chosen_by_name_version_and_number(tmp_path: Path) -> None:
    hdus = [
        fits.ImageHDU(np.full((4, 4), value, np.float32), name="SCI", ver=value) for value in (1, 2)
    ]
    path = write(tmp_path / "f.fits", *hdus)
    for text, value in (("", 1), ("[SCI]", 1), ("[SCI,2]", 2), ("[2]", 2), ("[sci,2]", 2)):
        assert float(read_fits(f"{path}{text}").data[0, 0]) == value
    with pytest.raises(FormatError, match=r"\[1\] SCI"):
        read_fits(f"{path}[ERR]")
    with pytest.raises(FormatError, match="unclear"):
        split_extension("a.fits[SCI,x]")


def test_the_primary_header_goes_along(tmp_path: Path) -> None:
    primary = fits.Header([("TELESCOP", "HST"), ("EXPTIME", 30.0)])
    science = fits.ImageHDU(image(5, 5), fits.Header([("EXPTIME", 10.0), ("BUNIT", "Jy")]), "SCI")
    m = read_fits(write(tmp_path / "f.fits", science, primary=primary))
    assert m.header is not None
    assert (m.header["TELESCOP"], m.header["EXPTIME"], m.units) == ("HST", 10.0, "Jy")


def test_compressed_files_are_the_same(tmp_path: Path) -> None:
    values = image(40, 50)
    plain = write(tmp_path / "f.fits", fits.ImageHDU(values, name="SCI"))
    packed = tmp_path / "g.fits.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert np.array_equal(read_fits(packed).data.numpy(), values)
    tiled = tmp_path / "tiled.fits.fz"
    counts = np.arange(2000, dtype=np.int16).reshape(40, 50)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(counts, name="SCI")]).writeto(tiled)
    assert np.array_equal(read_fits(tiled).data.numpy(), counts)


def lie(cards: dict[str, int]) -> bytes:
    header = fits.PrimaryHDU(np.zeros((4, 4), np.float32)).header
    for name, value in cards.items():
        header[name] = value
    return header.tostring().encode() + bytes(2880)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "cards",
    [{"NAXIS1": 10**6, "NAXIS2": 10**6}, {"NAXIS1": -5}, {"NAXIS1": 10**4, "BITPIX": -64}],
)
def test_headers_that_lie_are_refused(tmp_path: Path, cards: dict[str, int], packed: bool) -> None:
    path = tmp_path / "lie.fits"
    path.write_bytes(gzip.compress(lie(cards)) if packed else lie(cards))
    with pytest.raises(FormatError, match=r"'lie[.]fits'"):
        read_fits(path)


def test_every_truncation_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "f.fits", fits.ImageHDU(image(40, 50), name="SCI"))
    whole = path.read_bytes()
    for length in (0, 100, 2880, 5000, 6000, 9000):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError, match=r"'f[.]fits'"):
            read_fits(path)


def test_a_flipped_byte_is_found_where_a_checksum_was_written(tmp_path: Path) -> None:
    path = write(tmp_path / "f.fits", fits.ImageHDU(image(40, 50), name="SCI"))
    read_fits(path)
    whole = bytearray(path.read_bytes())
    whole[-3000] ^= 1
    path.write_bytes(whole)
    with pytest.raises(FormatError, match="checksum"):
        read_fits(path)


def test_tables_and_visibilities_are_no_image(data_root: Path) -> None:
    folder = data_root / "astro"
    with pytest.raises(FormatError, match="no image"):
        read_fits(folder / "cosmos_galaxies/catalog_dev70.fits")
    with pytest.raises(FormatError, match="no image"):
        read_fits(next(folder.glob("eht_m87/*.uvfits.gz")))


@pytest.mark.filterwarnings("ignore:The following header keyword is invalid")
@pytest.mark.parametrize(
    ("name", "shape", "unit"),
    [
        ("m17_2mass/aK_asky_990502s1350092.fits.gz", (1024, 512), None),
        ("sdss/reprojected_sdss_r.fits.bz2", (496, 682), "nanomaggy"),
        ("galactic_center/gc_2mass_j.fits.gz", (720, 721), None),
        ("galactic_center/gc_bolocam_gps.fits.gz", (638, 640), "Jy/Beam"),
        ("hst/wfpc2_cube_example.fits.gz", (4, 200, 200), None),
        ("radio/M31_256.fits.gz", (1, 256, 256), "JY/PIXEL"),
        ("m13/M13_blue_0001.fits.gz", (1040, 1392), None),
    ],
)
def test_real_files_equal_astropys_reading(
    data_root: Path, name: str, shape: tuple[int, ...], unit: str | None
) -> None:
    path = data_root / "astro" / name
    m = read_fits(path)
    assert tuple(m.data.shape) == shape
    assert m.units == unit
    expected = np.asarray(fits.getdata(path), np.float32)
    finite = np.isfinite(expected)
    assert np.array_equal(m.data.numpy()[finite], expected[finite])
    if finite.all():
        assert m.mask is None
    else:
        assert m.mask is not None
        assert np.array_equal(m.mask.numpy() > 0, finite)
    assert m.header is not None
    for card in fits.getheader(path, memmap=False).cards:
        assert card.keyword in m.header


def test_stamps_of_a_file(data_root: Path) -> None:
    path = data_root / "astro/psf/hst_acs_f814w_psf100.fits.gz"
    psfs = read_psfs(path)
    assert len(psfs) == 100
    assert torch.equal(read_psfs(f"{path}[3]")[0], psfs[3])


def test_what_lies_beside_an_image_under_unknown_names_is_said(tmp_path: Path) -> None:
    """MSK and WGT of the Dark Energy Survey, say; noise and flags are no further images."""

    def said(*names: str, shape: tuple[int, ...] = (20, 24)) -> str:
        path = tmp_path / f"{'_'.join(names)}_{len(shape)}.fits"
        first, *rest = names
        hdus = [fits.ImageHDU(image(*shape), name=name) for name in rest]
        m = read_fits(write(path, fits.ImageHDU(image(20, 24), name=first), *hdus))
        return "; ".join(m.provenance.get("assumed", []))

    assert "MSK, WGT beside the image left aside" in said("SCI", "MSK", "WGT")
    assert said("SCI", "ERR") == said("CHIP", "ERR", "VARIANCE") == said("SCI", "ERR", "RES") == ""
    assert "first of 2 images read; choose another with [3]" in said("CHIP", "ERR", "OTHER")
    assert "ERR (1, 20, 24) left aside" in said("SCI", "ERR", shape=(1, 20, 24))


def test_names_are_compared_as_fits_does_and_a_variance_is_counted_once(tmp_path: Path) -> None:
    planes = {"sci": 50.0, "VAR_POISSON": 3.0, "variance": 4.0, "VAR_RNOISE": 1.0}
    hdus = [
        fits.ImageHDU(image(20, 24) * 0 + value, fits.Header({"EXTNAME": name}))
        for name, value in planes.items()
    ]
    m = read_fits(write(tmp_path / "f.fits", *hdus))
    assert bool((m.data == 50).all()) and bool((torch.as_tensor(m.noise) == 2).all())
    parts = read_fits(write(tmp_path / "parts.fits", hdus[0], hdus[1], hdus[3]))
    assert bool((torch.as_tensor(parts.noise) == 2).all())
