"""Gridded PSFs: photutils evaluates them as we do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rimaging.astro import as_psf
from rimaging.datasets.psf_grid import gridded_psf, is_gridded_model, read_stdpsf
from rimaging.errors import FormatError


def images(side: int = 61) -> np.ndarray:
    """Six PSFs, 4-fold oversampled, FWHM 2 to 3 pixels."""
    line = (np.arange(side) - (side - 1) / 2) / 4
    y, x = np.meshgrid(line, line, indexing="ij")
    return np.array([np.exp(-2.77 * (x**2 + y**2) / (2 + 0.2 * k) ** 2) for k in range(6)])


@pytest.mark.parametrize("side", [61, 60])
def test_a_model_of_photutils(side: int) -> None:
    """Even sides too, whose origin lies between two nodes."""
    from astropy.nddata import NDData

    psf = pytest.importorskip("photutils.psf")
    places = [(0, 0), (100, 0), (200, 0), (0, 80), (100, 80), (200, 80)]
    model = psf.GriddedPSFModel(
        NDData(images(side), meta={"grid_xypos": places, "oversampling": 4})
    )
    assert is_gridded_model(model) and not is_gridded_model(np.ones((3, 3)))
    ours = gridded_psf(model)
    y, x = np.mgrid[-7:8, -7:8]
    for px, py in ((0, 0), (130, 25), (200, 80)):
        theirs = model.evaluate(x + px, y + py, flux=1.0, x_0=px, y_0=py)
        wanted = torch.from_numpy(theirs / theirs.sum()).float()
        assert torch.allclose(ours.at(py, px), wanted, atol=2e-4 * float(wanted.max()))


@pytest.mark.parametrize("side", [61, 60])
def test_an_image_psf_is_no_psf_of_finer_pixels(side: int) -> None:
    """What an EPSFBuilder makes is oversampled: its array taken as it is would be 4 times wide."""
    psf = pytest.importorskip("photutils.psf")
    model = psf.ImagePSF(images(side)[0], oversampling=4)
    y, x = np.mgrid[-7:8, -7:8]
    theirs = torch.from_numpy(model.evaluate(x, y, flux=1.0, x_0=0, y_0=0)).float()
    ours = as_psf(model)
    middle = ours.shape[0] // 2
    ours = ours[middle - 7 : middle + 8, middle - 7 : middle + 8]
    assert torch.allclose(ours, theirs, atol=2e-4 * float(theirs.max()))


def test_a_stdpsf_file_and_one_that_is_none(tmp_path: Path) -> None:
    from astropy.io import fits

    pytest.importorskip("photutils.psf")
    hdu = fits.PrimaryHDU(images().astype("f4"))
    hdu.header.update({"NXPSFS": 3, "NYPSFS": 2, "COMMENT": "as STDPSF"})
    for i, place in enumerate((1, 513, 1025), 1):
        hdu.header[f"IPSFX{i:02d}"] = place
    for i, place in enumerate((1, 1025), 1):
        hdu.header[f"JPSFY{i:02d}"] = place
    path = tmp_path / "STDPSF_TEST_F606W.fits"
    hdu.writeto(path)
    psf = read_stdpsf(path)
    assert psf.images.shape == (6, 15, 15)
    first, last = psf.at(0, 0), psf.at(1024, 1024)
    assert float(first.max()) > float(last.max())
    assert psf.name == path.name
    fits.writeto(tmp_path / "none.fits", np.ones((4, 4)))
    with pytest.raises(FormatError, match="STDPSF"):
        read_stdpsf(tmp_path / "none.fits")
