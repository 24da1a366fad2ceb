from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from rimaging.datasets.hdf5_guard import array_of, checked_dataset, layout, listing, text_of
from rimaging.errors import FormatError


def test_layouts_are_told_by_their_names(tmp_path: Path) -> None:
    fastmri, mrd, matlab = (tmp_path / name for name in ("a.h5", "b.h5", "c.h5"))
    with h5py.File(fastmri, "w") as file:
        file["kspace"], file["ismrmrd_header"] = np.ones((2, 3)), "<x/>"
    with h5py.File(mrd, "w") as file:  # whatever the group is called
        file["scan1/data"], file["scan1/xml"] = np.ones(3), "<x/>"
    with h5py.File(matlab, "w") as file:
        file["ksp"] = np.ones((2, 3))
        file["ksp"].attrs["MATLAB_class"] = np.bytes_("double")
    assert [layout(path) for path in (fastmri, mrd, matlab)] == ["hdf5", "ismrmrd", "mat"]
    assert listing(fastmri) == "ismrmrd_header () object, kspace (2, 3) float64"
    assert listing(mrd) == "scan1/"
    mrd.write_bytes(mrd.read_bytes()[:700])
    assert layout(mrd) == "hdf5"
    assert "nothing" in listing(mrd)


def test_a_link_cannot_pose_as_a_layout(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["dataset/data"], file["dataset/xml"] = np.ones(3), "<x/>"
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["dataset"] = h5py.ExternalLink("other.h5", "dataset")
    assert layout(tmp_path / "f.h5") == "hdf5"


@pytest.mark.parametrize("names", [("r", "i"), ("real", "imag")])
@pytest.mark.parametrize("kind", ["<f4", "<f8", ">f4"])
def test_complex_numbers_have_two_names(tmp_path: Path, names: tuple[str, str], kind: str) -> None:
    values = np.array([1 + 2j, 3 - 4j])
    pairs = np.empty(2, np.dtype([(name, kind) for name in names]))
    pairs[names[0]], pairs[names[1]] = values.real, values.imag
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["x"] = pairs
        file["records"] = np.zeros(2, [("name", "S4"), ("age", "<i4")])
    with h5py.File(tmp_path / "f.h5") as file:
        assert np.array_equal(array_of(file, "x"), values)
        with pytest.raises(FormatError, match="expected complex numbers"):
            array_of(file, "records")


def test_what_is_not_there_and_what_is_too_much(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("bomb", (10**6, 10**6), "c8", chunks=(1000, 1000))
        file["nothing"] = h5py.Empty("f4")
        file.create_group("group")
        file["many"] = [b"a", b"b"]
    with h5py.File(tmp_path / "f.h5") as file:
        refused = {"bomb": "declares", "nothing": "is empty", "group": "a group", "none": "has no"}
        for name, words in refused.items():
            with pytest.raises(FormatError, match=words) as caught:
                checked_dataset(file, name)
            assert "\n" not in str(caught.value)
        assert text_of(file, "many") == text_of(file, "absent") == b""
