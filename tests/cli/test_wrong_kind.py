"""Whoever gives a file to the command of another trade is told the right one, in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rimaging.cli import app
from rimaging.datasets.bart import write_cfl

SIZE = 16
RECON, DECONVOLVE, DENOISE = "use rimaging recon", "use rimaging deconvolve", "use rimaging denoise"

OPTIONS = {
    "recon": ("-o", "out.npy"),
    "deconvolve": ("-o", "out.fits", "--psf", "gaussian:3"),
    "denoise": ("-o", "out.npy", "--sigma", "0.1"),
    "upscale": ("-o", "out.npy"),
    "restore": ("-o", "out.npy", "--sigma", "0.1", "--mask", "mask.npy"),
    "psf": ("-o", "out.fits"),
    "validate": ("--psf", "gaussian:3"),
}
KSPACE = {name: RECON for name in OPTIONS if name != "recon"}
WRONG = {
    "scan.npz": KSPACE,
    "scan.npy": KSPACE,
    "scan.h5": KSPACE,
    "scan.cfl": KSPACE,
    "sky.fits": {"recon": DECONVOLVE},
    "sky.npz": {"recon": DECONVOLVE},
    "photo.png": {"recon": DENOISE},
    "pixels.npz": {"recon": DENOISE},
    "volume.nii": {name: DENOISE for name in ("recon", "deconvolve", "psf", "validate")},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of each kind and format."""
    import h5py
    import nibabel
    from astropy.io import fits
    from PIL import Image

    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    kspace = rng.normal(size=(2, SIZE, SIZE, 2)).view(np.complex128)[..., 0].astype(np.complex64)
    pixels = (5 + rng.normal(size=(SIZE, SIZE))).astype(np.float32)
    np.savez(folder / "scan.npz", kspace=kspace)
    np.save(folder / "scan.npy", kspace)
    with h5py.File(folder / "scan.h5", "w") as file:
        file["kspace"] = kspace[None]
    write_cfl(folder / "scan.cfl", kspace[:, None])
    fits.PrimaryHDU(pixels).writeto(folder / "sky.fits")
    np.savez(folder / "sky.npz", image=pixels, psf=np.ones((3, 3), np.float32))
    np.savez(folder / "pixels.npz", image=pixels)
    Image.fromarray((20 * pixels).astype(np.uint8)).save(folder / "photo.png")
    nibabel.save(nibabel.Nifti1Image(pixels[..., None], np.eye(4)), folder / "volume.nii")
    np.save(folder / "mask.npy", np.ones((SIZE, SIZE), np.float32))
    return folder


@pytest.mark.parametrize(
    ("file", "command", "told"),
    [(file, command, told) for file, found in WRONG.items() for command, told in found.items()],
)
def test_the_right_command_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, file: str, command: str, told: str
) -> None:
    monkeypatch.chdir(folder)
    before = set(folder.iterdir())
    result = CliRunner().invoke(app, [command, file, *OPTIONS[command]])
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert told in line
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize("file", WRONG)
def test_inspect_names_it_beforehand(
    folder: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.chdir(folder)
    told = CliRunner().invoke(app, ["inspect", file]).stdout
    assert next(iter(WRONG[file].values())).removeprefix("use ") in told
