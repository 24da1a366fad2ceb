from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy import io

from rimaging.datasets.mat import load_mat
from rimaging.datasets.npz import read_mat
from rimaging.datasets.open import open, open_array, sniff
from rimaging.errors import FormatError, ShapeError
from rimaging.operators.fourier import centred_fft

COMPLEX = np.dtype([("real", "<f8"), ("imag", "<f8")])


def kspace(*shape: int) -> np.ndarray:
    """(..., y, x) of smooth images: peaked in its middle."""
    import torch

    rng = np.random.default_rng(0)
    y, x = np.ogrid[-1 : 1 : 1j * shape[-2], -1 : 1 : 1j * shape[-1]]
    smooth = np.exp(-4 * (y**2 + x**2)) * (1 + 0.3 * rng.normal(size=(*shape[:-2], 1, 1)))
    return np.asarray(centred_fft(torch.from_numpy(smooth.astype(np.complex64))).numpy())


def write(path: Path, block: bytes = b"MATLAB 7.3 MAT-file", **arrays: Any) -> Path:
    """What MATLAB writes: a block of text, then HDF5 with axes turned round."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            stored = np.asarray(array).T
            if np.iscomplexobj(stored):
                pairs = np.empty(stored.shape, COMPLEX)
                pairs["real"], pairs["imag"] = stored.real, stored.imag
                stored = pairs
            file[name] = stored
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
    raw = bytearray(path.read_bytes())
    raw[: len(block)] = block
    path.write_bytes(raw)
    return path


def write_old(path: Path, **arrays: Any) -> Path:
    io.savemat(path, arrays, do_compression=True)
    return path


@pytest.mark.parametrize("writer", [write, write_old])
def test_matlab_counts_coils_last(tmp_path: Path, writer: Any) -> None:
    data = kspace(4, 40, 36)  # (coil, y, x)
    mask = (np.arange(36) % 2).astype(float)
    path = writer(
        tmp_path / "scan.dat", ksp=(data * mask).transpose(1, 2, 0), mask=np.tile(mask, (40, 1)),
        smaps=data.transpose(1, 2, 0), sigma=np.array([[0.5]]),
    )  # fmt: skip
    assert sniff(path) == "mat"
    m = open(path)
    assert np.allclose(m.data.numpy(), data * mask)
    assert m.maps is not None and np.allclose(m.maps.numpy(), data)
    assert m.mask is not None and m.mask.shape == (40, 36)
    assert "(40, 36, 4) read as (y, x, coil)" in m.provenance["assumed"][0]
    assert np.allclose(open_array(path, "maps").numpy(), data)


@pytest.mark.parametrize("writer", [write, write_old])
def test_coils_first_are_seen(tmp_path: Path, writer: Any) -> None:
    data = kspace(4, 40, 36)
    m = read_mat(writer(tmp_path / "scan.mat", DATA=data))
    assert np.allclose(m.data.numpy(), data)
    assert "read as (coil, y, x)" in m.provenance["assumed"][0]
    with pytest.raises(ShapeError, match="looks like the coils"):
        read_mat(writer(tmp_path / "odd.mat", DATA=data.transpose(1, 0, 2)))


def test_slices_come_in_front_of_coils(tmp_path: Path) -> None:
    data = kspace(3, 4, 40, 36)  # (slice, coil, y, x)
    m = read_mat(write(tmp_path / "scan.mat", kspace=data.transpose(2, 3, 1, 0)))
    assert np.allclose(m.data.numpy(), data)


def test_images_keep_their_rows(tmp_path: Path) -> None:
    image = np.arange(12.0).reshape(3, 4)
    m = read_mat(write(tmp_path / "f.mat", image=image))
    assert (m.kind, m.data.tolist()) == ("image", image.tolist())


def test_marked_hdf5_without_the_block_is_matlab_too(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["ksp"] = kspace(4, 40, 36)
        file["ksp"].attrs["MATLAB_class"] = np.bytes_("single")
    assert sniff(tmp_path / "f.h5") == "mat"


def test_what_holds_no_numbers_is_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path / "f.mat", image=np.ones((3, 4)))
    with h5py.File(path, "a") as file:
        file["name"] = np.frombuffer("Jane Doe".encode("utf-16-le"), np.uint16)
        file["name"].attrs["MATLAB_class"] = np.bytes_("char")
        file.create_group("structure")["deep"] = np.ones(3)
    assert list(load_mat(path)) == ["image"]
    write_old(path, image=np.ones((3, 4)), name="Jane Doe", cell=np.array([1, "a"], object))
    assert list(load_mat(path)) == ["image"]


def test_damage_and_links_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "f.mat", ksp=kspace(4, 40, 36))
    whole = path.read_bytes()
    for length in (600, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError, match="damaged"):
            open(path)
    path.write_bytes(whole)
    with h5py.File(path, "a") as file:
        file["mask"] = h5py.ExternalLink("other.mat", "mask")
    with pytest.raises(FormatError, match="refused"):
        open(path)
    old = write_old(tmp_path / "old.mat", ksp=kspace(4, 40, 36))
    old.write_bytes(old.read_bytes()[:1000])
    with pytest.raises(FormatError, match="damaged"):
        open(old)
