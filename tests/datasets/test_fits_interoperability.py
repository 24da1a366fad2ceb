"""What is written opens elsewhere: fitsverify, astropy, photutils, reproject, spectral-cube."""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy import units
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS

from rimaging.astro import deconvolve
from rimaging.datasets.fits_beams import Beams, beams_table
from rimaging.datasets.open import open
from rimaging.errors import OptionError
from rimaging.reconstruction import Reconstruction

HEADER = fits.Header(
    [
        ("CTYPE1", "RA---TAN-SIP"),
        ("CTYPE2", "DEC--TAN-SIP"),
        ("CRPIX1", 20.0),
        ("CRPIX2", 16.0),
        ("CRVAL1", 150.0),
        ("CRVAL2", 2.0),
        ("CD1_1", -1e-4),
        ("CD2_2", 1e-4),
        ("A_ORDER", 2),
        ("A_2_0", 1e-5),
        ("B_ORDER", 2),
        ("B_0_2", 1e-5),
        ("BUNIT", "nJy"),
        ("RADESYS", "ICRS"),
    ]
)


def stars(*shape: int) -> np.ndarray:
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[: shape[-2], : shape[-1]]
    image = random.normal(10, 1, shape)
    for y, x in ((10, 12), (22, 30)):
        image += 400 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 5)
    return image.astype(np.float32)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Reconstruction:
    """A small image with everything: NaN, flags, noise, WCS."""
    image = stars(32, 40)
    image[0, 0] = np.nan
    flags = np.zeros((32, 40), np.int16)
    flags[5, 5] = 16
    hdus = [
        fits.PrimaryHDU(header=fits.Header([("TELESCOP", "HST")])),
        fits.ImageHDU(image, HEADER, name="SCI"),
        fits.ImageHDU(np.ones((32, 40), np.float32), name="ERR"),
        fits.ImageHDU(flags, name="DQ"),
    ]
    path = tmp_path_factory.mktemp("in") / "sky.fits"
    fits.HDUList(hdus).writeto(path)
    return deconvolve(open(path), "moffat:3.5", method="richardson-lucy", iterations=3)


@pytest.fixture(scope="module")
def written(result: Reconstruction, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return result.save(tmp_path_factory.mktemp("out") / "sky_rim.fits")


def cube(tmp_path: Path, *, table: bool) -> Path:
    """A radio cube (STOKES, FREQ, y, x) in Jy/beam, deconvolved and saved."""
    header = fits.Header()
    kinds = ("RA---SIN", "DEC--SIN", "FREQ", "STOKES")
    values = ((83.0, -1e-4, "deg"), (22.0, 1e-4, "deg"), (1.4e9, 1e6, "Hz"), (1.0, 1.0, ""))
    for i, (kind, (value, step, unit)) in enumerate(zip(kinds, values, strict=True), 1):
        header.update({f"CTYPE{i}": kind, f"CRVAL{i}": value, f"CRPIX{i}": 1.0})
        header.update({f"CDELT{i}": step, f"CUNIT{i}": unit})
    header.update({"BUNIT": "Jy/beam", "RESTFRQ": 1.42e9, "SPECSYS": "LSRK"})
    hdus: list[fits.PrimaryHDU | fits.BinTableHDU] = []
    if table:
        header["CASAMBM"] = True
        width = np.array([[4e-4, 5e-4, 6e-4]])
        hdus = [beams_table(Beams(width, width, 0 * width, table=True))]
    else:
        header.update({"BMAJ": 5e-4, "BMIN": 4e-4, "BPA": 20.0})
    path = tmp_path / "cube.fits"
    fits.HDUList([fits.PrimaryHDU(stars(1, 3, 32, 40), header), *hdus]).writeto(path)
    done = deconvolve(open(path), 4.0, method="richardson-lucy", iterations=2)
    return done.save(tmp_path / "cube_rim.fits")


def verified(path: Path) -> None:
    program = shutil.which("fitsverify")
    if program is None:
        pytest.skip("fitsverify is not installed: apt-get install fitsverify")
    answer = subprocess.run([program, "-q", str(path)], capture_output=True, text=True, check=False)
    assert "OK" in answer.stdout, subprocess.run(
        [program, str(path)], capture_output=True, text=True, check=False
    ).stdout


def test_fitsverify_finds_nothing(written: Path) -> None:
    verified(written)


@pytest.mark.parametrize("table", [False, True])
def test_fitsverify_finds_nothing_in_a_cube(tmp_path: Path, table: bool) -> None:
    verified(cube(tmp_path, table=table))


def test_astropy_finds_nothing(written: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(written, checksum=True) as hdus:
            hdus.verify("exception")
            names = [hdu.name for hdu in hdus]
    assert names == ["PRIMARY", "SCI", "DQ", "RES", "PSFOUT"]
    assert fits.getheader(written, "SCI")["TELESCOP"] == "HST"


def test_the_side_car_has_the_whole_configuration(written: Path, result: Reconstruction) -> None:
    facts = json.loads(written.with_suffix(".json").read_text())
    for key in ("method", "settings", "psf", "target_fwhm_pixels", "assumed", "input", "chi2"):
        assert key in facts
    assert facts["input"]["sha256"] == result.provenance["input"]["sha256"]


def test_flags_say_what_was_not_measured(written: Path) -> None:
    with fits.open(written) as hdus:
        flags, header = hdus["DQ"].data, hdus["DQ"].header
    fill = flags >> header["RIMFILL"] & 1
    assert np.argwhere(fill).tolist() == [[0, 0], [5, 5]]
    assert flags[5, 5] & 16


@pytest.mark.filterwarnings("ignore")
def test_ccddata_from_memory_and_from_the_file(written: Path, result: Reconstruction) -> None:
    made = result.to_ccddata()
    assert made.unit == units.nJy
    assert made.mask is not None
    assert np.argwhere(made.mask).tolist() == [[0, 0], [5, 5]]
    assert made.psf is not None
    assert made.psf.sum() == pytest.approx(1, abs=1e-6)
    read = CCDData.read(written, hdu="SCI")
    assert np.array_equal(read.data, made.data)
    for one in (read, made):
        assert one.wcs is not None
        sky = one.wcs.pixel_to_world(3, 4)
        assert sky.separation(WCS(HEADER).pixel_to_world(3, 4)).arcsec < 1e-6


def test_the_list_in_memory_is_the_file(written: Path, result: Reconstruction) -> None:
    with fits.open(written) as hdus:
        made = result.to_hdulist()
        assert [hdu.name for hdu in made] == [hdu.name for hdu in hdus]
        for one, two in zip(made[1:], hdus[1:], strict=True):
            assert np.array_equal(one.data, two.data)


@pytest.mark.filterwarnings("ignore")
def test_photutils_finds_the_stars(written: Path) -> None:
    detection = pytest.importorskip("photutils.detection")
    data = fits.getdata(written, "SCI")
    found = detection.DAOStarFinder(threshold=50, fwhm=2.0)(np.asarray(data, float))
    columns = (
        ("x_centroid", "y_centroid")
        if "x_centroid" in found.colnames
        else ("xcentroid", "ycentroid")
    )
    places = sorted(zip(*(np.asarray(found[c]).round() for c in columns), strict=True))
    assert places == [(12.0, 10.0), (30.0, 22.0)]


@pytest.mark.filterwarnings("ignore")
def test_reproject_puts_it_where_it_was(written: Path) -> None:
    reproject = pytest.importorskip("reproject")
    with fits.open(written) as hdus:
        there, footprint = reproject.reproject_interp(
            hdus["SCI"], HEADER, shape_out=(32, 40), order="bilinear"
        )
        inside = footprint > 0
        assert inside.sum() > 1000
        assert np.allclose(there[inside], hdus["SCI"].data[inside], rtol=1e-3, atol=1e-2)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("table", [False, True])
def test_spectral_cube_reads_the_beams(tmp_path: Path, table: bool) -> None:
    module = pytest.importorskip("spectral_cube")
    path = cube(tmp_path, table=table)
    read = module.SpectralCube.read(path, hdu=1)
    assert read.shape == (3, 32, 40)
    assert read.unit == units.Jy / units.beam
    width = 2 * 1e-4 * 3600
    if table:
        majors = read.beams.major.to_value(units.arcsec)
        assert np.allclose(majors, width, rtol=1e-4)
    else:
        assert read.beam.major.to_value(units.arcsec) == pytest.approx(width, rel=1e-4)
        assert read.beam.minor.to_value(units.arcsec) == pytest.approx(width, rel=1e-4)
    assert read.spectral_axis[0].to_value(units.Hz) == pytest.approx(1.4e9)


def test_our_own_output_opens_again(written: Path, result: Reconstruction) -> None:
    again = open(written)
    assert torch.equal(again.data, torch.as_tensor(np.asarray(result.image)))
    assert again.mask is not None
    assert torch.nonzero(again.mask == 0).tolist() == [[0, 0], [5, 5]]


def test_viewers_that_are_absent_are_named(
    result: Reconstruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(OptionError, match="ds9"):
        result.to_ds9()
    monkeypatch.setitem(__import__("sys").modules, "napari", None)
    with pytest.raises(OptionError, match="pip install 'napari"):
        result.to_napari()


def test_ds9_gets_the_whole_file(
    result: Reconstruction, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "ds9"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    path = result.to_ds9()
    for _ in range(100):
        if (tmp_path / "called").exists() and (tmp_path / "called").read_text():
            break
        __import__("time").sleep(0.05)
    assert str(path) in (tmp_path / "called").read_text()
    assert fits.getheader(path, "SCI")["BUNIT"] == "nJy"
    shutil.rmtree(path.parent)
