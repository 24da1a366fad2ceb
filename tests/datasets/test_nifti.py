from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest

from rimaging.datasets.nifti import read_nifti, write_nifti
from rimaging.errors import FormatError

OBLIQUE = np.array(
    [[-0.9, 0.2, 0.1, 10.0], [-0.2, -1.1, 0.4, -20.0], [0.05, 0.3, 4.8, 30.0], [0, 0, 0, 1]]
)
VOLUME = np.random.default_rng(0).normal(size=(3, 8, 6)).astype(np.float32)


def orthogonal(affine: np.ndarray) -> np.ndarray:
    """The nearest affine that a qform can hold: rotation times voxel sizes."""
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    u, _, v = np.linalg.svd(affine[:3, :3] / sizes)
    result = affine.copy()
    result[:3, :3] = u @ v * sizes
    return result


@pytest.mark.parametrize("name", ["f.nii", "f.nii.gz"])
def test_affine_units_and_values_are_those_that_nibabel_reads(tmp_path: Path, name: str) -> None:
    affine = orthogonal(OBLIQUE)
    path = tmp_path / name
    write_nifti(path, VOLUME, affine, scanner=True, description="x")
    image = nibabel.load(path)
    assert np.allclose(image.get_sform(), affine, atol=1e-4)
    assert np.allclose(image.get_qform(), affine, atol=1e-4)
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 1)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert np.allclose(image.header.get_zooms(), np.linalg.norm(affine[:3, :3], axis=0), rtol=1e-5)
    # voxel (x, y, slice) of the file is pixel [slice, y, x] of the array
    assert image.dataobj[5, 2, 1] == VOLUME[1, 2, 5]


def test_reading_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "f.nii.gz"
    write_nifti(path, VOLUME, orthogonal(OBLIQUE), scanner=True, description="x")
    m = read_nifti(path)
    assert np.array_equal(m.data.numpy(), VOLUME)
    assert m.affine is not None
    assert np.allclose(m.affine, orthogonal(OBLIQUE), atol=1e-4)


@pytest.mark.parametrize(("code", "word"), [(0, "voxel sizes"), (1, None), (4, "code 4")])
def test_only_the_scanners_coordinates_are_called_so(
    tmp_path: Path, code: int, word: str | None
) -> None:
    image = nibabel.Nifti1Image(VOLUME.T, orthogonal(OBLIQUE))
    image.set_sform(None if code == 0 else orthogonal(OBLIQUE), code=code)
    image.set_qform(None, code=0)
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "f.nii")
    m = read_nifti(tmp_path / "f.nii")
    assert m.affine is not None
    sizes = np.linalg.norm(m.affine[:3, :3], axis=0)
    assert np.allclose(sizes, 1e-3 * np.linalg.norm(OBLIQUE[:3, :3], axis=0), rtol=1e-5)
    said = m.provenance.get("geometry")
    assert said is None if word is None else word in said


def test_nan_voxels_weigh_nothing(tmp_path: Path) -> None:
    volume = VOLUME.copy()
    volume[1, 2, 3] = np.nan
    write_nifti(tmp_path / "f.nii", volume, np.eye(4), scanner=True, description="x")
    m = read_nifti(tmp_path / "f.nii")
    assert m.mask is not None
    assert np.array_equal(m.mask.numpy() > 0, np.isfinite(volume))


def test_unknown_geometry_is_not_invented(tmp_path: Path) -> None:
    path = tmp_path / "f.nii"
    write_nifti(path, VOLUME, None, scanner=False, description="x")
    header = nibabel.load(path).header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (0, 0)
    assert header.get_xyzt_units()[0] == "unknown"
    write_nifti(path, VOLUME, np.eye(4), scanner=False, description="x")
    assert int(nibabel.load(path).header["sform_code"]) == 2


def test_frames_follow_the_slices_and_time_has_no_unit(tmp_path: Path) -> None:
    film = np.random.default_rng(1).normal(size=(4, *VOLUME.shape)).astype(np.float32)
    affine = orthogonal(OBLIQUE)
    write_nifti(tmp_path / "f.nii", film, affine, scanner=True, description="x")
    image = nibabel.load(tmp_path / "f.nii")
    assert image.shape == (6, 8, 3, 4)
    assert image.header.get_xyzt_units() == ("mm", "unknown")
    assert np.allclose(image.affine, affine, atol=1e-4)
    assert image.dataobj[5, 2, 1, 3] == film[3, 1, 2, 5]


def test_what_a_qform_cannot_hold_is_in_the_sform_alone(tmp_path: Path) -> None:
    sheared = orthogonal(OBLIQUE)
    sheared[:3, 2] += 0.5 * sheared[:3, 0]
    write_nifti(tmp_path / "f.nii", VOLUME, sheared, scanner=True, description="x")
    image = nibabel.load(tmp_path / "f.nii")
    assert np.allclose(image.affine, sheared, atol=1e-4)
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 0)
    for shape in ((1,) * 7 + (2, 2), (1, 40000, 2)):
        with pytest.raises(FormatError, match="7 axes of at most 32767"):
            write_nifti(tmp_path / "g.nii", np.zeros(shape), None, scanner=False, description="")


def test_the_same_volume_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_nifti(tmp_path / name, VOLUME, np.eye(4), scanner=True, description="x")
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_lies_and_truncations_are_named(tmp_path: Path) -> None:
    path = tmp_path / "f.nii"
    write_nifti(path, VOLUME, np.eye(4), scanner=True, description="x")
    whole = path.read_bytes()
    for length in (100, 350, len(whole) - 100):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError):
            read_nifti(path)
    lie = bytearray(whole)
    lie[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    packed = tmp_path / "f.nii.gz"
    path.write_bytes(lie)
    packed.write_bytes(gzip.compress(bytes(lie)))
    for liar in (path, packed):
        with pytest.raises(FormatError, match="declares"):
            read_nifti(liar)


@pytest.mark.parametrize("affine", [orthogonal(OBLIQUE), OBLIQUE, None])
def test_nifti_tool_finds_nothing_and_the_same_place(
    tmp_path: Path, affine: np.ndarray | None
) -> None:
    """The library of the standard itself: qform and sform are one where both are stated."""
    program = shutil.which("nifti_tool")
    if program is None:
        pytest.skip("nifti_tool is not installed: apt install nifti-bin")
    path = tmp_path / "f.nii.gz"
    write_nifti(path, VOLUME, affine, scanner=True, description="x")

    def tool(*words: str) -> str:
        command = [str(program), *words, "-infiles", str(path)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert "IS GOOD" in tool("-check_hdr")
    assert "IS GOOD" in tool("-check_nim")
    codes = {}
    for name in ("qform_code", "sform_code", "xyz_units"):
        codes[name] = int(tool("-quiet", "-disp_nim", "-field", name).split()[-1])
    sheared = affine is OBLIQUE
    known = affine is not None
    assert codes == {"qform_code": known - sheared, "sform_code": known, "xyz_units": 2 * known}
    for name, stated in (("qto_xyz", known and not sheared), ("sto_xyz", known)):
        if stated:
            words = tool("-quiet", "-disp_nim", "-field", name).split()
            assert np.allclose(np.array(words[-16:], float).reshape(4, 4), affine, atol=1e-4)
