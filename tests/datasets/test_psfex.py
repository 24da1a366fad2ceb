"""PSFEx models: read as GalSim reads them, at every position."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rimaging.datasets.psfex import read_psfex
from rimaging.errors import FormatError


def write(path: Path, *, degree: int = 2, sampling: float = 0.5, axis: str = "X_IMAGE") -> Path:
    """A model as PSFEx writes it: a Gaussian that widens and leans over the field."""
    from astropy.io import fits

    line = np.arange(-20, 21) * sampling
    y, x = np.meshgrid(line, line, indexing="ij")
    base = np.exp(-(x**2 + y**2) / 4)
    terms = [base, base * (x**2 + y**2) / 40, base * x / 30, base * y / 35]
    terms += [base * x * y / 60, base * (x**2 - y**2) / 70]
    masks = np.array(terms[: (degree + 1) * (degree + 2) // 2], dtype="f4")
    column = fits.Column("PSF_MASK", f"{masks.size}E", dim=f"(41,41,{len(masks)})", array=[masks])
    hdu = fits.BinTableHDU.from_columns([column], name="PSF_DATA")
    hdu.header.update(
        {"LOADED": 9, "ACCEPTED": 8, "CHI2": 1.0, "POLNAXIS": 2, "POLNGRP": 1, "PSF_FWHM": 3.0}
    )
    hdu.header.update({"POLGRP1": 1, "POLNAME1": axis, "POLZERO1": 100.5, "POLSCAL1": 180.0})
    hdu.header.update({"POLGRP2": 1, "POLNAME2": "Y_IMAGE", "POLZERO2": 80.0, "POLSCAL2": 150.0})
    hdu.header.update({"POLDEG1": degree, "PSF_SAMP": sampling, "PSFNAXIS": 3})
    hdu.header.update({"PSFAXIS1": 41, "PSFAXIS2": 41, "PSFAXIS3": len(masks)})
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    return path


def test_it_agrees_with_galsim(tmp_path: Path) -> None:
    galsim = pytest.importorskip("galsim")
    from galsim.des import DES_PSFEx

    path = write(tmp_path / "field.psf")
    ours, theirs = read_psfex(path), DES_PSFEx(str(path))
    for x, y in ((0, 0), (150, 20), (37, 161)):
        image = theirs.getPSFArray(galsim.PositionD(x + 1, y + 1))
        fine = torch.from_numpy(image / image.sum()).float()[::2, ::2]
        found = ours.at(y, x)
        assert found.shape == (21, 21)
        assert torch.allclose(found, fine / fine.sum(), atol=1e-5)


def test_a_constant_model_and_a_coarser_pixel(tmp_path: Path) -> None:
    psf = read_psfex(write(tmp_path / "one.psf", degree=0, sampling=1.0))
    assert psf.images.shape == (1, 41, 41)
    assert torch.equal(psf.at(0, 0), psf.at(99, 5))


def test_models_of_other_things_are_refused(tmp_path: Path) -> None:
    from astropy.io import fits

    with pytest.raises(FormatError, match="PSFVAR_KEYS"):
        read_psfex(write(tmp_path / "colour.psf", axis="MAG_AUTO"))
    fits.writeto(tmp_path / "image.fits", np.ones((4, 4)))
    with pytest.raises(FormatError, match="PSF_MASK"):
        read_psfex(tmp_path / "image.fits")


def test_a_term_that_is_zero_everywhere_adds_nothing(tmp_path: Path) -> None:
    from dataclasses import replace

    from rimaging import astro

    whole = read_psfex(write(tmp_path / "field.psf", degree=2))
    without = whole.images.clone()
    without[3] = 0
    psf = replace(whole, images=without)
    star = torch.zeros(60, 60)
    star[20, 41] = 1.0
    seen = astro.varying_operator(psf, star)(star)
    expected = psf.at(20, 41)
    assert torch.allclose(seen[10:31, 31:52], expected, atol=1e-6)
