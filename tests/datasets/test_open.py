from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

import rimaging
from rimaging.datasets.open import open, open_array, sniff
from rimaging.datasets.save import save
from rimaging.errors import FormatError, OptionError

IMAGE = torch.rand(24, 20)
FORMS = {".fits": "fits", ".npz": "npz", ".npy": "npz", ".nii": "nifti", ".nii.gz": "nifti"}
FORMS |= {".png": "picture", ".tif": "picture", ".h5": "hdf5"}


@pytest.mark.parametrize("suffix", FORMS)
def test_the_content_says_the_format_not_the_name(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"f{suffix}", IMAGE)
    unnamed = path.rename(tmp_path / "unnamed.dat")
    assert sniff(unnamed) == FORMS[suffix]


@pytest.mark.parametrize("thing", [None, b"scan.h5", IMAGE, 3])
def test_only_a_path_is_opened(thing: object) -> None:
    with pytest.raises(OptionError, match="arrays to a door"):
        rimaging.open(thing)  # type: ignore[arg-type]


def test_the_package_opens_too(tmp_path: Path) -> None:
    assert rimaging.open(save(tmp_path / "f.npy", IMAGE)).kind == "image"


def test_kind_overrules_the_guess_where_it_can(tmp_path: Path) -> None:
    path = save(tmp_path / "f.fits", IMAGE)
    assert open(path).kind == "sky"
    assert open(path, kind="image").kind == "image"
    assert open(save(tmp_path / "f.png", IMAGE), kind="sky").kind == "sky"
    with pytest.raises(OptionError, match="an image of the sky, expected k-space"):
        open(path, kind="kspace")
    with pytest.raises(OptionError, match="expected one of"):
        open(path, kind="movie")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\x80\x04\x95" + bytes(100), "pickle"),
        (bytes(128) + b"DICM" + bytes(300), "no k-space"),
        (b"MATLAB 5.0 MAT-file" + bytes(500), "npz"),
        (b"some text", "convert"),
        (gzip.compress(b"u,v,amplitude", mtime=0), "convert"),
        (b"\x1f\x8b\x08broken", "damaged"),
    ],
    ids=["empty", "pickle", "dicom", "matlab", "text", "packed-text", "torn-gzip"],
)
def test_unknown_content_gets_a_way_on(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "f.bin"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=words) as caught:
        open(path)
    assert "\n" not in str(caught.value)


def test_missing_files_and_needless_extensions(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="does not exist"):
        open(tmp_path / "absent.h5")
    path = save(tmp_path / "f.npy", IMAGE)
    with pytest.raises(FormatError, match="only FITS"):
        open(f"{path}[SCI]")


def test_a_file_name_may_have_brackets(tmp_path: Path) -> None:
    path = save(tmp_path / "f[1].npy", IMAGE)
    assert np.array_equal(open(path).data.numpy(), IMAGE.numpy())


def test_companions_are_found_by_name_or_alone(tmp_path: Path) -> None:
    psf = np.ones((5, 5), np.float32)
    np.savez(tmp_path / "named.npz", image=np.zeros((9, 9)), psf=psf)
    np.savez(tmp_path / "alone.npz", whatever=psf)
    np.save(tmp_path / "bare.npy", psf)
    save(tmp_path / "f.fits", psf)
    for name in ("named.npz", "alone.npz", "bare.npy", "f.fits", "f.fits[SCI]"):
        assert np.array_equal(open_array(tmp_path / name, "psf").numpy(), psf)
    with pytest.raises(FormatError, match="has image, psf, expected one of mask"):
        open_array(tmp_path / "named.npz", "mask")


def test_hdf5_and_matlab_hold_companions_too(tmp_path: Path) -> None:
    import h5py
    from scipy.io import savemat

    maps = (np.arange(60).reshape(3, 5, 4) * 1j).astype(np.complex64)
    with h5py.File(tmp_path / "alone.h5", "w") as file:
        file["whatever"] = maps
        file.create_group("notes")
    with h5py.File(tmp_path / "named.h5", "w") as file:
        file["kspace"], file["CSM"] = 0 * maps, maps
    savemat(tmp_path / "m.mat", {"Maps": maps.transpose(1, 2, 0)})  # MATLAB has (y, x, coil)
    for name in ("alone.h5", "named.h5", "m.mat"):
        assert np.array_equal(open_array(tmp_path / name, "maps").numpy(), maps)
    with pytest.raises(FormatError, match="has CSM, kspace, expected one of mask: rename"):
        open_array(tmp_path / "named.h5", "mask")
