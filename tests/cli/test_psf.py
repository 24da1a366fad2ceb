"""`rimaging psf`: a FITS image of the PSF, and a line that says what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rimaging.cli import app
from rimaging.operators.target import gaussian_psf


def test_a_psf_of_a_real_field(data_root: Path, tmp_path: Path) -> None:
    from astropy.io import fits

    pytest.importorskip("photutils")
    field = data_root / "astro/m17_2mass/aK_asky_990502s1350092.fits.gz"
    with fits.open(field) as hdus:
        fits.writeto(tmp_path / "field.fits", hdus[0].data[100:300, 100:300], hdus[0].header)
    out = tmp_path / "psf.fits"
    given = ["psf", str(tmp_path / "field.fits"), "-o", str(out)]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    assert "FWHM" in result.output and fits.getheader(out)["PIXSCALE"] == pytest.approx(1.0)
    again = CliRunner().invoke(app, given)
    assert again.exit_code == 2 and "--overwrite" in again.output


def test_the_psf_goes_into_a_fits_file() -> None:
    result = CliRunner().invoke(app, ["psf", "field.fits", "-o", "psf.png"])
    assert result.exit_code == 2 and "no .fits" in result.output


def test_the_psf_is_not_written_over_its_image(tmp_path: Path) -> None:
    from astropy.io import fits

    path = tmp_path / "field.fits"
    fits.writeto(path, np.ones((16, 16), np.float32))
    before = path.read_bytes()
    for command in (["psf", f"{path}[0]"], ["deconvolve", f"{path}[0]", "--psf", "3"]):
        for more in ([], ["--tile", "64"])[: 1 + (command[0] == "deconvolve")]:
            given = [*command, "-o", f"{tmp_path}/../{tmp_path.name}/field.fits", "--overwrite"]
            result = CliRunner().invoke(app, [*given, *more])
            assert result.exit_code == 2 and "is an input" in result.output
    assert path.read_bytes() == before


def test_of_a_cube_it_says_of_which_plane(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from astropy.io import fits

    from rimaging.datasets import epsf

    found = epsf.StarPsf(
        psf=gaussian_psf(3.0), stars=9, found=9, fwhm=3.0, ellipticity=0.0, saturation=1.0
    )
    monkeypatch.setattr(epsf, "psf_of_stars", lambda *_, **__: found)
    for shape, said in (((16, 16), False), ((2, 16, 16), True)):
        path = tmp_path / f"{len(shape)}.fits"
        fits.writeto(path, np.ones(shape, np.float32))
        out = tmp_path / f"psf{len(shape)}.fits"
        result = CliRunner().invoke(app, ["psf", str(path), "-o", str(out)])
        assert result.exit_code == 0, result.output
        assert ("first of 2 planes" in result.stderr) is said
