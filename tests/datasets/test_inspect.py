from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from rimaging.datasets.beam_psf import gaussian_beam
from rimaging.datasets.inspect import inspect
from rimaging.datasets.save import save
from rimaging.errors import FormatError
from rimaging.operators.correlated import NoiseCorrelation


def test_kspace_says_what_would_be_done(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(4, 32, 32)) + 1j * rng.normal(size=(4, 32, 32))
    columns = (np.arange(32) % 2).astype(bool)
    columns[12:20] = True
    np.savez(tmp_path / "f.npz", ksp=data * columns)
    lines = inspect(tmp_path / "f.npz")
    assert lines["kind"] == "kspace"
    assert lines["data"] == "(4, 32, 32) complex64"
    assert "62.5% sampled" in lines["assumed"]
    assert "ESPIRiT" in lines["would"]
    assert float(lines["noise"]) == pytest.approx(1, rel=0.2)
    assert (lines["matrix"], lines["coils"], lines["images"]) == ("32 x 32", "4", "1 slice")
    assert lines["sampling"] == "1.55x, columns, every 2"
    assert lines["calibration"] == "32 x 8 samples in the middle"
    np.savez(tmp_path / "f.npz", ksp=data * (np.arange(32) % 2))
    assert "needs --maps" in inspect(tmp_path / "f.npz")["would"]


def test_partial_fourier_is_not_fully_sampled(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(1, 32, 32)) + 1j * rng.normal(size=(1, 32, 32))
    np.savez(tmp_path / "f.npz", ksp=data * (np.arange(32) >= 8))
    lines = inspect(tmp_path / "f.npz")
    assert lines["acceleration"] == "1, 1.33 with partial Fourier"
    assert lines["sampling"].startswith("partial Fourier 0.75 along x")
    assert "a side of k-space to fill in" in lines["would"]
    np.savez(tmp_path / "f.npz", ksp=data)
    assert "only noise to remove" in inspect(tmp_path / "f.npz")["would"]


def test_a_fastmri_volume_says_what_its_header_states(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(2, 4, 64, 30)) + 1j * rng.normal(size=(2, 4, 64, 30))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["kspace"] = data.astype(np.complex64)
        file.attrs["acceleration"], file.attrs["num_low_frequency"] = 4, 24
        file["ismrmrd_header"] = (
            "<h><encoding><encodedSpace><matrixSize><x>64</x><y>30</y><z>1</z></matrixSize>"
            "<fieldOfView_mm><x>320</x><y>150</y><z>5</z></fieldOfView_mm></encodedSpace>"
            "<reconSpace><matrixSize><x>32</x><y>30</y><z>1</z></matrixSize>"
            "<fieldOfView_mm><x>160</x><y>150</y><z>5</z></fieldOfView_mm></reconSpace>"
            "</encoding></h>"
        )
    lines = inspect(tmp_path / "f.h5")
    assert lines["field of view"] == "320 x 150 x 5 mm, as encoded"
    assert lines["acceleration"] == "1 (4 stated)"
    assert "24 columns stated" in lines["calibration"]
    assert (lines["sampling"], lines["images"]) == ("fully sampled", "2 slices")
    assert "only noise" in lines["would"]
    assert "crop to 32 x 30" in lines["would"]


def test_k_space_that_is_refused_is_listed_with_the_reason(tmp_path: Path) -> None:
    y, x = np.ogrid[-1:1:40j, -1:1:40j]
    data = np.exp(-99 * (y**2 + x**2))[..., None] * np.ones(5) * 1j
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["kspace"] = data[None].astype(np.complex64)
    lines = inspect(tmp_path / "f.h5")
    assert "kspace (1, 40, 40, 5) complex64" in lines["holds"]
    assert "axis 3 (5 long) looks like the coils" in lines["why"]


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


@pytest.mark.parametrize("ending", ["uvfits", "csv"])
def test_visibilities_are_known_and_sent_to_their_command(ending: str, data_root: Path) -> None:
    path = data_root / f"astro/eht_m87/SR1_M87_2017_095_lo_hops_netcal_StokesI.{ending}.gz"
    lines = inspect(path)
    assert lines["format"] == ending and lines["kind"] == "visibilities"
    assert lines["data"].startswith("64") and lines["frequency"] == "227.071 GHz"
    assert "rimaging radio" in lines["would"] and "baselines" in lines


def test_a_beam_in_the_header_is_the_psf_that_would_be_used(tmp_path: Path) -> None:
    from astropy.io import fits

    header = fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "BUNIT": "Jy/beam"})
    header.update({"CDELT1": -1e-3, "CDELT2": 1e-3, "BMAJ": 5e-3, "BMIN": 4e-3, "BPA": 30.0})
    image = np.random.default_rng(0).normal(size=(32, 32)).astype("f4")
    fits.writeto(tmp_path / "a.fits", image, header)
    lines = inspect(tmp_path / "a.fits")
    assert lines["beam"] == "18 x 14.4 arcsec at 30 deg"
    assert "its beam" in lines["would"] and "stars" not in lines["would"]
    beam = gaussian_beam(5.0, 4.0, 30.0, 8)
    draw = torch.Generator().manual_seed(0)
    noise = 3e-3 * NoiseCorrelation.of(beam).coloured(torch.randn(120, 120, generator=draw))
    fits.writeto(tmp_path / "b.fits", noise.numpy(), header)
    lines = inspect(tmp_path / "b.fits")
    assert float(lines["noise"]) == pytest.approx(3e-3, rel=0.15)
    assert "as the beam" in lines["assumed"]
