"""What a format cannot hold is refused by name, and what it holds is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rimaging.datasets.capacity import check_capacity, check_place
from rimaging.datasets.lead_axes import as_stored
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.save import save
from rimaging.errors import FormatError, RimagingError

NAMES = ["repetition", "set", "contrast", "slice"]


def measurement(*lead: int) -> Measurement:
    data = torch.ones(*lead, 2, 6, 5) + 0j
    axes = {"axes": NAMES[-len(lead) :]} if lead else {}
    return Measurement(kind="kspace", data=data, noise=1.0, provenance=axes)


@pytest.mark.parametrize("lead", [(), (1,), (3,), (2, 3), (2, 2, 3), (2, 2, 2, 3)])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".cfl", ".nii.gz", ".h5", ".npz", ".fits"])
def test_it_refuses_what_cannot_be_written_and_nothing_else(
    tmp_path: Path, suffix: str, lead: tuple[int, ...]
) -> None:
    path, found = tmp_path / f"x{suffix}", measurement(*lead)
    refused = ""
    try:
        check_capacity(path, found)
    except FormatError as error:
        refused = str(error)
    # colours of a picture are its three channels, slices of a scan are none
    if lead == (3,) and suffix == ".png":
        assert "3" in refused
        return
    try:
        save(path, as_stored(path, torch.ones(found.image_shape), found), found)
    except RimagingError:
        assert refused
    else:
        assert not refused


def test_a_volume_of_too_many_voxels_along_an_axis_is_no_nifti() -> None:
    long = torch.zeros((), dtype=torch.complex64).expand(40000, 1, 2, 2)
    with pytest.raises(FormatError, match="32767"):
        check_capacity("x.nii", Measurement(kind="kspace", data=long, noise=1.0))


def test_dicom_needs_positions_or_a_series() -> None:
    with pytest.raises(FormatError, match="no slice positions"):
        check_capacity("dicom/", measurement(3))
    check_capacity("dicom/", measurement(3), like="series/")


def test_the_header_beside_a_cfl_counts(tmp_path: Path) -> None:
    check_place(tmp_path / "x.cfl")
    (tmp_path / "x.hdr").touch()
    with pytest.raises(FormatError, match=r"'x\.hdr' exists"):
        check_place(tmp_path / "x.cfl")
    check_place(tmp_path / "x.cfl", overwrite=True)
    check_place(tmp_path / "x.npz")


def test_a_folder_that_takes_no_files_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(FormatError, match="cannot be written"):
        check_place(tmp_path / "x.npz")
