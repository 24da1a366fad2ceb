"""`rimaging psf`: a FITS image of the PSF, and a line that says what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rimaging.cli import app


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
