from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits
from typer.testing import CliRunner, Result

from rimaging.cli import app
from rimaging.cli.astro import default_output
from rimaging.rim import weights
from rimaging.rim.config import RIMConfig
from rimaging.rim.rim import RIM
from rimaging.rim.weights import save_weights

FAST = ["--method", "richardson-lucy"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own with a mosaic, a PSF, and tiny weights under the shipped name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights, "SHIPPED", tmp_path / "weights")
    torch.manual_seed(0)
    tiny = RIM(RIMConfig(steps=2, fine=4, coarse=4))
    save_weights(tiny, tmp_path / "weights/astro.safetensors", {"title": "test"})
    random = np.random.default_rng(1)
    sky = random.normal(10, 1, (40, 36)).astype(np.float32)
    rows, columns = np.mgrid[:40, :36]
    sky += 300 * np.exp(-((rows - 20) ** 2 + (columns - 17) ** 2) / 5).astype(np.float32)
    rms = random.uniform(0.9, 1.1, (40, 36)).astype(np.float32)
    header = fits.Header([("CRPIX1", 5.0), ("CRPIX2", 6.0), ("BUNIT", "nJy")])
    hdus = [
        fits.PrimaryHDU(),
        fits.ImageHDU(sky, header, name="SCI"),
        fits.ImageHDU(rms, name="RMS"),
        fits.ImageHDU(rms**2, name="VARIANCE"),
    ]
    fits.HDUList(hdus).writeto("mosaic.fits")
    rows, columns = np.mgrid[-5:6, -5:6]
    psf = np.exp(-(rows**2 + columns**2) / 4).astype(np.float32)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(psf, name="PSF")]).writeto("field.fits")
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["deconvolve", *map(str, arguments)])


def refused(result: Result, words: str) -> None:
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert words in line


def test_the_command_of_the_documentation() -> None:
    result = run("mosaic.fits[SCI]", "--psf", "field.fits", "--noise", "mosaic.fits[RMS]")
    assert result.exit_code == 0, result.output
    assert "mosaic_rim.fits" in result.output
    with fits.open("mosaic_rim.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "RES", "PSFOUT"]
        header = hdus["SCI"].header
        assert (header["RIMPSF"], header["NOISEMDL"]) == ("field.fits", "RMS map")
        assert (header["BUNIT"], header["CRPIX1"]) == ("nJy", 5.0)
    facts = json.loads(Path("mosaic_rim.json").read_text())
    assert facts["weights"]["name"] == "astro"


def test_an_error_map_becomes_err() -> None:
    given = ["mosaic.fits[SCI]", "--psf", "field.fits", "--noise", "mosaic.fits[RMS]"]
    result = run(*given, "--error-map", 2)
    assert result.exit_code == 0, result.output
    with fits.open("mosaic_rim.fits") as hdus:
        error = hdus["ERR"]
        assert error.shape == hdus["SCI"].shape and (error.data > 0).all()
        assert error.header["BUNIT"] == "nJy" and "2 repetitions" in str(error.header["COMMENT"])
    facts = json.loads(Path("mosaic_rim.json").read_text())
    assert facts["error_map"] == {"replicates": 2, "seed": 0}
    refused(run(*given, "--error-map", 2, "--tile", 32, "--overwrite"), "--error-map")
    refused(run(*given, "--error-map", 1, "--overwrite"), "8 for example")


@pytest.mark.parametrize("existing", ["mosaic_rim.fits", "mosaic_rim.json"])
def test_nothing_is_overwritten(existing: str) -> None:
    Path(existing).write_text("mine")
    refused(run("mosaic.fits", "--psf", "3", *FAST), existing)
    assert Path(existing).read_text() == "mine"
    assert run("mosaic.fits", "--psf", "3", *FAST, "--overwrite").exit_code == 0
    assert Path(existing).read_bytes() != b"mine"


def test_default_names() -> None:
    for name, stem in {
        "a/mosaic.fits[SCI,2]": "mosaic",
        "tile.fits.fz": "tile",
        "old.FIT.gz": "old",
        "field.v2.fits": "field.v2",
        "sky.asdf": "sky",
    }.items():
        assert default_output(name) == Path(f"{stem}_rim.fits")


@pytest.mark.parametrize("extension", ["RMS", "VARIANCE"])
def test_a_region_cuts_image_and_noise_alike(extension: str) -> None:
    cut = ["--region", "4:30,8:32", "--noise", f"mosaic.fits[{extension}]"]
    result = run("mosaic.fits", "--psf", "moffat:3.5", *cut, *FAST)
    assert result.exit_code == 0, result.output
    whole = ["--noise", f"mosaic.fits[{extension}]", "-o", "whole.fits"]
    assert run("mosaic.fits", "--psf", "moffat:3.5", *whole, *FAST).exit_code == 0
    part, header = fits.getdata("mosaic_rim.fits", "SCI", header=True)
    assert part.shape == (24, 26)
    assert (header["CRPIX1"], header["CRPIX2"]) == (1.0, -2.0)
    assert json.loads(Path("mosaic_rim.json").read_text())["input"]["section"] == "4:30,8:32"
    whole_sky = fits.getdata("whole.fits", "SCI")
    assert np.allclose(part[10:15, 11:16], whole_sky[18:23, 15:20], rtol=0.02, atol=2)
    assert part[12, 13] == part.max()


def test_what_cannot_be_is_refused_in_one_line() -> None:
    refused(run("mosaic.fits"), "PSF")
    refused(run("mosaic.fits", "--psf", "3", "--region", "90:99,0:5"), "region")
    refused(run("mosaic.fits", "--psf", "3", "--channels", "0:2"), "channels")
    refused(run("mosaic.fits", "--psf", "3", "--noise", "absent.fits"), "absent.fits")
    with fits.open("mosaic.fits", mode="update") as hdus:
        hdus["RMS"].data[3, 3] = np.nan
    refused(run("mosaic.fits", "--psf", "3", "--noise", "mosaic.fits[RMS]"), "noise")
    with fits.open("field.fits", mode="update") as hdus:
        hdus["PSF"].header["PIXSCALE"] = 0.05
    with fits.open("mosaic.fits", mode="update") as hdus:
        hdus["SCI"].header["PIXSCALE"] = 0.2
    refused(run("mosaic.fits", "--psf", "field.fits"), "arcsec per pixel")
