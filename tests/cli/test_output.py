"""Where results go: an error map beside or inside its image, refused where it has no place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from rimaging.cli import app


@pytest.fixture
def kspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    data = random.standard_normal((1, 16, 16)) + 1j * random.standard_normal((1, 16, 16))
    np.save("k.npy", data.astype(np.complex64))
    return tmp_path


def recon(*options: object) -> Result:
    given = ["recon", "k.npy", "--noise", "0.1", "--method", "zero-filled", *map(str, options)]
    return CliRunner().invoke(app, given)


def test_nifti_has_the_error_in_a_second_file(kspace: Path) -> None:
    import nibabel

    result = recon("-o", "out.nii.gz", "--error-map", 3)
    assert result.exit_code == 0 and "wrote out_error.nii.gz" in result.output
    error = nibabel.Nifti1Image.from_filename("out_error.nii.gz")
    image = nibabel.Nifti1Image.from_filename("out.nii.gz")
    assert error.shape == image.shape
    assert np.mean(error.get_fdata()) == pytest.approx(0.1, rel=0.1)  # of an orthonormal FFT
    again = recon("-o", "out.nii.gz", "--error-map", 3)
    assert again.exit_code == 2 and "--overwrite" in again.stderr
    (kspace / "out.nii.gz").unlink()
    again = recon("-o", "out.nii.gz", "--error-map", 3)
    assert again.exit_code == 2 and "out_error.nii.gz" in again.stderr


def test_noise_that_cannot_be_is_warned_of(kspace: Path) -> None:
    np.save("sky.npy", np.random.default_rng(0).normal(100, 5, (48, 48)).astype(np.float32))
    given = ["deconvolve", "sky.npy", "--psf", "3", "-o", "sky.fits", "--overwrite", "--noise"]
    well, badly = (CliRunner().invoke(app, [*given, sigma]) for sigma in ("5", "0.5"))
    assert well.exit_code == badly.exit_code == 0
    assert "warning" not in well.output
    assert "times the noise: the noise is understated" in badly.stderr


def test_a_blur_that_cannot_be_is_warned_of(kspace: Path) -> None:
    from rimaging.operators.convolution import Convolution

    kernel = np.ones((1, 7), dtype=np.float32) / 7
    scene = torch.zeros(48, 48)
    scene[10:30, 8:40] = 0.8
    blurred = Convolution(torch.from_numpy(kernel), (48, 48), "reflect")(scene).numpy()
    noise = 0.01 * np.random.default_rng(0).standard_normal((48, 48)).astype(np.float32)
    np.save("kernel.npy", kernel)
    stderr = {}
    for name, picture in (
        ("blurred", blurred),
        ("sharp", np.random.default_rng(1).random((48, 48))),
    ):
        np.save(f"{name}.npy", picture.astype(np.float32) + noise)
        given = [f"{name}.npy", "-o", f"{name}.tif", "--kernel", "kernel.npy", "--sigma", "0.01"]
        result = CliRunner().invoke(app, ["restore", *given])
        assert result.exit_code == 0, result.output
        stderr[name] = result.stderr
    assert "warning" not in stderr["blurred"]
    assert "the model (PSF, coil maps, mask) is wrong" in stderr["sharp"]


@pytest.mark.parametrize("name", ["out.h5", "out.npz", "out.fits"])
def test_other_files_hold_it(kspace: Path, name: str) -> None:
    result = recon("-o", name, "--error-map", 2)
    assert result.exit_code == 0, result.output
    assert not list(kspace.glob("*_error*"))
    if name.endswith("npz"):
        assert np.load(name)["uncertainty"].shape == np.load(name)["image"].shape


@pytest.mark.parametrize("name", ["out.png", "out.npy", "out.cfl", "dicom/"])
def test_what_cannot_hold_it_is_refused_first(kspace: Path, name: str) -> None:
    result = recon("-o", name, "--error-map", 2)
    assert result.exit_code == 2 and "no error map" in result.stderr, result.output
    assert sorted(path.name for path in kspace.iterdir()) == ["k.npy"]
