from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from rimaging.datasets import npz
from rimaging.datasets.npz import load_arrays, read_npz
from rimaging.errors import FormatError


def kspace(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


@pytest.mark.parametrize("name", ["ksp", "kspace", "k"])
@pytest.mark.parametrize("maps", ["mps", "maps", "smaps", "csm"])
def test_the_names_of_the_field_are_known(tmp_path: Path, name: str, maps: str) -> None:
    mask = np.arange(10) % 2
    path = tmp_path / "scan.npz"
    np.savez(path, **{name: kspace(2, 12, 10) * mask, maps: kspace(2, 12, 10), "mask": mask})
    m = read_npz(path)
    assert m.kind == "kspace"
    assert np.array_equal(m.data.numpy(), kspace(2, 12, 10) * mask)
    assert m.maps is not None
    assert m.mask is not None


def test_images_with_a_psf_are_a_sky_and_integers_have_their_scale(tmp_path: Path) -> None:
    path = tmp_path / "images.npz"
    counts = np.arange(48, dtype=np.uint16).reshape(2, 4, 6)
    np.savez(path, images=counts, scale=np.array([10, 20], np.uint16))
    expected = counts / np.array([10, 20])[:, None, None]
    torch.testing.assert_close(read_npz(path).data, torch.from_numpy(expected).float())
    np.savez(path, image=counts, psf=np.ones((3, 3)), sigma=0.5)
    sky = read_npz(path)
    assert sky.kind == "sky"
    assert float(torch.as_tensor(sky.noise)) == 0.5
    assert read_npz(path, kind="image").psf is None


def test_a_bare_array_is_what_it_looks_like_or_what_one_says(tmp_path: Path) -> None:
    path = tmp_path / "array.npy"
    np.save(path, kspace(2, 12, 10))
    assert read_npz(path).kind == "kspace"
    assert read_npz(path, kind="image").kind == "image"
    np.save(path, np.asfortranarray(np.arange(12.0).reshape(3, 4)))
    assert np.array_equal(read_npz(path).data.numpy(), np.arange(12.0).reshape(3, 4))


@pytest.mark.parametrize("cycles", ["field of view", "pixel"])
def test_kspace_along_a_trajectory(tmp_path: Path, cycles: str) -> None:
    rng = np.random.default_rng(0)
    shape = np.array([20, 24])
    along = rng.uniform(-0.5, 0.5, (5, 30, 2))
    along[0, 0], along[0, 1] = -0.5, 0.4999  # it reaches out to the edge
    weights = rng.uniform(1, 2, (5, 30))
    path = tmp_path / "scan.npz"
    arrays = {"ksp": kspace(3, 5, 30), "w": weights}
    if cycles == "pixel":
        arrays |= {"k": along[..., 1] + 1j * along[..., 0], "image_shape": shape}
    else:
        arrays |= {"coord": along * shape}
    np.savez(path, **arrays)
    m = read_npz(path)
    assert m.data.shape == (3, 5, 30)
    assert m.matrix == (20, 24)
    assert m.trajectory is not None and m.density is not None
    assert np.allclose(m.trajectory.numpy(), along * shape, atol=1e-5)
    assert np.allclose(m.density.numpy(), weights)


def test_a_lone_complex_array_of_any_name_is_kspace(tmp_path: Path) -> None:
    np.savez(tmp_path / "scan.npz", DATA=kspace(2, 12, 10), comment=np.ones(3))
    assert read_npz(tmp_path / "scan.npz").kind == "kspace"
    np.savez(tmp_path / "scan.npz", KSP=kspace(2, 12, 10), Mask=np.ones(10))
    assert read_npz(tmp_path / "scan.npz").mask is not None


def test_unknown_names_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, phantom=np.ones((3, 4)))
    with pytest.raises(FormatError, match=r"'phantom' \(3, 4\).*'kspace'"):
        read_npz(path)


def test_pickles_never_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (open, (str(tmp_path / "ran"), "w"))

    array = np.array([Bomb()], dtype=object)
    np.save(tmp_path / "bad.npy", array, allow_pickle=True)
    np.savez(tmp_path / "bad.npz", ksp=array)
    for name in ("bad.npy", "bad.npz"):
        with pytest.raises(FormatError, match="pickle"):
            load_arrays(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_a_header_that_lies_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    header = {"descr": "<c8", "fortran_order": False, "shape": (10**6, 10**6)}
    np.lib.format.write_array_header_1_0(buffer, header)
    buffer.write(bytes(1000))
    path = tmp_path / "lie.npy"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(FormatError, match="declares"):
        load_arrays(path)
    with zipfile.ZipFile(tmp_path / "lie.npz", "w") as archive:
        archive.writestr("ksp.npy", buffer.getvalue())
    with pytest.raises(FormatError, match="declares"):
        load_arrays(tmp_path / "lie.npz")


def test_a_zip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "FREE", 1 << 20)
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, ksp=np.zeros(1 << 19, np.complex64))
    with pytest.raises(FormatError, match="expands"):
        load_arrays(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_every_truncation_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"f{suffix}"
    if suffix == ".npy":
        np.save(path, kspace(2, 16, 16))
    else:
        np.savez(path, ksp=kspace(2, 16, 16))
    whole = path.read_bytes()
    for length in (1, 5, 60, 200, len(whole) - 30):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError):
            load_arrays(path)


def test_real_files(data_root: Path) -> None:
    brain = read_npz(data_root / "mri/multicoil/brain_8ch_poisson_sigpy.npz").completed()
    assert brain.data.shape == (8, 230, 180)
    assert brain.mask is not None
    assert float(brain.mask.mean()) == pytest.approx(0.124, abs=0.001)
    knee = read_npz(data_root / "mri/singlecoil/knee_256.npz")
    assert knee.likelihood().operator.range.shape == (1, 256, 256)
    alias = read_npz(data_root / "mri/multicoil/brain_alias_8ch.npz").completed()
    assert alias.mask is not None
    assert int(alias.mask[0].sum()) == 256 - 88
    blend = read_npz(data_root / "astro/hst_hsc/hsc_cosmos.npz")
    assert blend.kind == "sky"
    assert blend.psf is not None
    assert blend.likelihood().y.shape == (5, 69, 57)


def test_a_real_spiral_is_resolved_as_finely_as_it_was_measured(data_root: Path) -> None:
    m = read_npz(data_root / "mri/multicoil/spiral_8ch_phantom.npz")
    assert m.data.shape == (8, 60, 1182) and m.trajectory is not None
    assert m.density is not None and m.density.shape == (60, 1182)
    whole = m.completed()
    assert whole.image_shape == (256, 256) == m.image_shape
    assert any("256 x 256" in note for note in whole.provenance["assumed"])
    assert whole.trajectory is not None
    assert float(whole.trajectory.abs().max()) == pytest.approx(128, abs=0.1)
