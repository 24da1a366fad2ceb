from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from rimaging.datasets.inspect import inspect
from rimaging.datasets.save import save
from rimaging.errors import FormatError


def test_kspace_says_what_would_be_done(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(4, 32, 32)) + 1j * rng.normal(size=(4, 32, 32))
    np.savez(tmp_path / "f.npz", ksp=data * (np.arange(32) % 2))
    lines = inspect(tmp_path / "f.npz")
    assert lines["kind"] == "kspace"
    assert lines["data"] == "(4, 32, 32) complex64"
    assert "50.0% sampled" in lines["assumed"]
    assert "ESPIRiT" in lines["would"]
    assert float(lines["noise"]) == pytest.approx(1, rel=0.2)


def test_what_is_no_measurement_is_listed(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", kernels=np.ones((2, 5, 5)))
    lines = inspect(tmp_path / "f.npz")
    assert "kernels (2, 5, 5)" in lines["holds"]
    assert "expected" in lines["why"]


def test_noise_free_data_are_described_all_the_same(tmp_path: Path) -> None:
    assert "give noise=" in inspect(save(tmp_path / "f.fits", torch.ones(9, 9)))["noise"]


def test_nobody_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["kspace"] = np.ones((1, 2, 8, 8), np.complex64)
        file.attrs["patient_id"] = "SECRET"
        file["ismrmrd_header"] = "<h><patientName>SECRET</patientName></h>"
    assert "SECRET" not in str(inspect(tmp_path / "f.h5"))


def test_unreadable_files_raise(tmp_path: Path) -> None:
    with pytest.raises(FormatError):
        inspect(tmp_path / "absent")


def test_real_files_are_described(data_root: Path) -> None:
    sky = inspect(data_root / "astro/spitzer/spitzer_example_image.fits.gz")
    assert (sky["kind"], sky["units"], sky["sky coordinates"]) == ("sky", "MJy/sr", "yes")
    assert "PSF" in sky["would"]
    kernels = inspect(data_root / "kernels/levin09.npz")
    assert "k1 (19, 19)" in kernels["holds"]
