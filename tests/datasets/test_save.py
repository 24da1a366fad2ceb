from __future__ import annotations

import json
import os
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import tifffile
import torch
from astropy.io import fits

from rimaging.datasets.measurement import Measurement
from rimaging.datasets.open import open
from rimaging.datasets.picture_range import stretch
from rimaging.datasets.save import SUFFIXES, save
from rimaging.errors import FormatError

IMAGE = torch.rand(24, 20, generator=torch.Generator().manual_seed(0))
COMPLEX = torch.polar(IMAGE, 5 * IMAGE)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_is_written_whole_and_only_once(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"result{suffix}", IMAGE)
    # BART's arrays have their header beside them
    expected = {f"result{suffix}"} | ({"result.hdr"} if suffix == ".cfl" else set())
    assert {p.name for p in tmp_path.iterdir()} == expected
    before = path.read_bytes()
    with pytest.raises(FormatError, match="overwrite=True"):
        save(path, 0 * IMAGE)
    assert path.read_bytes() == before
    save(path, 1 - IMAGE, overwrite=True)
    assert path.read_bytes() != before
    assert path.stat().st_mode & 0o077 == 0o066 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("suffix", [".nii.gz", ".fits", ".npz", ".npy", ".tif", ".png"])
def test_what_is_saved_can_be_opened(tmp_path: Path, suffix: str) -> None:
    again = open(save(tmp_path / f"f{suffix}", IMAGE, bits=16)).data
    tolerance = 1e-4 if suffix in (".tif", ".png") else 0.0
    torch.testing.assert_close(again.squeeze(), IMAGE, rtol=0, atol=tolerance)


def test_complex_images_become_magnitudes_where_the_format_is_for_pictures(tmp_path: Path) -> None:
    magnitude = COMPLEX.abs().numpy()
    assert np.allclose(fits.getdata(save(tmp_path / "f.fits", COMPLEX), "SCI"), magnitude)
    volume = nibabel.load(save(tmp_path / "f.nii", COMPLEX))
    assert np.allclose(volume.get_fdata()[..., 0].T, magnitude)
    with np.load(save(tmp_path / "f.npz", COMPLEX)) as arrays:
        assert np.array_equal(arrays["image"], COMPLEX.numpy())
    with h5py.File(save(tmp_path / "f.h5", COMPLEX)) as file:
        assert np.array_equal(file["image"][()], COMPLEX.numpy())
        assert np.allclose(file["reconstruction"][()], magnitude)


def test_complex_images_are_kept_when_asked(tmp_path: Path) -> None:
    path = save(tmp_path / "f.fits", COMPLEX, keep_complex=True)
    image = fits.getdata(path, "SCI") * np.exp(1j * fits.getdata(path, "PHASE"))
    assert np.allclose(image, COMPLEX.numpy(), atol=1e-6)
    volume = nibabel.load(save(tmp_path / "f.nii", COMPLEX, keep_complex=True))
    assert np.array_equal(np.asarray(volume.dataobj)[..., 0].T, COMPLEX.numpy())


def test_companions_and_provenance_go_along(tmp_path: Path) -> None:
    more = {"residual": IMAGE - 1, "uncertainty": 0.1 + IMAGE, "provenance": {"steps": 8}}
    with np.load(save(tmp_path / "f.npz", IMAGE, **more)) as arrays:
        assert np.array_equal(arrays["residual"], (IMAGE - 1).numpy())
        assert json.loads(str(arrays["provenance"])) == {"steps": 8}
    with h5py.File(save(tmp_path / "f.h5", IMAGE, **more)) as file:
        assert np.array_equal(file["uncertainty"][()], (0.1 + IMAGE).numpy())
        assert json.loads(file.attrs["provenance"]) == {"steps": 8}
    with fits.open(save(tmp_path / "f.fits", IMAGE, **more)) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "ERR", "RES"]


def test_a_volume_takes_the_geometry_of_its_kspace(tmp_path: Path) -> None:
    affine = np.diag([-1.0, -2.0, 4.0, 1.0])
    kspace = torch.ones(3, 2, 24, 20, dtype=torch.complex64)
    scan = Measurement(kind="kspace", data=kspace, affine=affine, provenance={"geometry": "sizes"})
    image = nibabel.load(save(tmp_path / "f.nii", torch.ones(3, 16, 20), scan))
    assert image.shape == (20, 16, 3)
    assert np.allclose(image.affine[:3, :3], affine[:3, :3])
    assert np.allclose(image.affine[:3, 3], [0, -8, 0])  # 4 rows of 2 mm were cropped
    assert int(image.header["sform_code"]) == 2


def test_a_picture_keeps_its_depth(tmp_path: Path) -> None:
    deep = open(save(tmp_path / "deep.png", IMAGE, bits=16))
    again = open(save(tmp_path / "again.png", deep.data, deep))
    assert again.provenance["bit_depth"] == 16
    assert torch.equal(again.data, deep.data)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "i4"])
@pytest.mark.parametrize("colour", [False, True])
def test_values_without_a_white_stay_in_tiff(tmp_path: Path, dtype: str, colour: bool) -> None:
    shape = (9, 8, 3) if colour else (9, 8)
    values = (5e3 * np.random.default_rng(0).random(shape) - 1e3).astype(dtype)
    path = tmp_path / "f.tif"
    tifffile.imwrite(path, values, photometric="rgb" if colour else "minisblack")
    came = open(path)
    again = tifffile.imread(save(tmp_path / "again.tif", came.data, came))
    assert again.dtype == np.float32 and np.array_equal(again, values.astype("f4"))
    assert stretch("again.tif", came.data, came) is None
    assert stretch("again.png", came.data, came) == pytest.approx(
        tuple(np.quantile(values.astype("f4"), [0.005, 0.995]))
    )


def test_three_gray_images_are_no_colour(tmp_path: Path) -> None:
    stack = Measurement(kind="image", data=torch.stack([IMAGE] * 3))
    with pytest.raises(FormatError, match="one slice"):
        save(tmp_path / "f.png", stack.data, stack)
    again = open(save(tmp_path / "f.tif", stack.data, stack))
    assert torch.equal(again.data, stack.data) and "colour" not in again.provenance


def test_a_sky_is_stretched_for_a_picture(tmp_path: Path) -> None:
    sky = Measurement(kind="sky", data=1e5 * IMAGE + 700)
    again = open(save(tmp_path / "f.png", sky.data, sky)).data
    assert float(again.min()) == 0
    assert float(again.max()) == 1
    assert float(torch.corrcoef(torch.stack([again.flatten(), IMAGE.flatten()]))[0, 1]) > 0.999


def test_wrong_names_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"\.nii\.gz, .*\.png"):
        save(tmp_path / "f.jpg", IMAGE)
    with pytest.raises(FormatError, match="folder"):
        save(tmp_path / "absent" / "f.npy", IMAGE)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = save(tmp_path / "f.png", IMAGE)
    before = path.read_bytes()
    with pytest.raises(FormatError):
        save(path, torch.zeros(7, 4, 4), overwrite=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FormatError, match="No space left"):
        save(tmp_path / "f.npy", IMAGE)
    assert list(tmp_path.iterdir()) == []


def test_a_channel_without_values_is_black_beside_others(tmp_path: Path) -> None:
    image = torch.rand(3, 8, 9, generator=torch.Generator().manual_seed(2)) + 1
    image[1] = torch.nan
    save(tmp_path / "cube.png", image, Measurement(kind="sky", data=image.nan_to_num()))
    shown = open(tmp_path / "cube.png").data
    assert bool((shown[1] == 0).all()) and float(shown[[0, 2]].amax(dim=(1, 2)).min()) > 0.9
