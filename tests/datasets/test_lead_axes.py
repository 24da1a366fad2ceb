"""Slices stay slices and frames stay frames, whatever file they go to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rimaging.datasets.bart import read_cfl, read_cfl_measurement, write_cfl, write_cfl_image
from rimaging.datasets.lead_axes import as_stored, as_volume, lead_names, with_frames
from rimaging.datasets.measurement import Measurement
from rimaging.errors import FormatError


def measurement(lead: tuple[int, ...], names: list[str] | None = None) -> Measurement:
    data = torch.ones(*lead, 2, 6, 5) + 0j
    return Measurement(
        kind="kspace", data=data, noise=1.0, provenance={} if names is None else {"axes": names}
    )


def image(*lead: int) -> np.ndarray:
    return np.arange(np.prod(lead, dtype=int) * 30, dtype=np.float32).reshape(*lead, 6, 5)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, ["frame"]),
        (["slice"], ["frame"]),
        (["repetition"], ["repetition"]),
        (["repetition", "slice"], ["repetition", "slice"]),
        (["contrast", "slice"], ["frame", "slice"]),
    ],
)
def test_frames_are_the_axis_that_counts_moments(
    names: list[str] | None, expected: list[str]
) -> None:
    lead = (3, 4)[: len(expected)]
    assert with_frames(measurement(lead, names)).provenance["axes"] == expected


def test_axes_without_names_are_slices_then_frames() -> None:
    assert with_frames(measurement((2, 3))).provenance["axes"] == ["slice", "frame"]
    assert lead_names(measurement((2, 3))) == () == lead_names(None)
    single = measurement(())
    assert with_frames(single) is single
    volume = image(2, 3)
    assert as_volume(volume, ()) is volume


@pytest.mark.parametrize(
    ("names", "lead", "shape", "order"),
    [
        (("frame",), (4,), (4, 1), "abc->abc"),
        (("slice", "frame"), (3, 4), (4, 3), "abcd->bacd"),
        (("repetition", "slice"), (4, 3), (4, 3), "abcd->abcd"),
        (("repetition", "contrast", "slice"), (4, 2, 3), (2, 4, 3), "abcde->bacde"),
    ],
)
def test_a_volume_has_slices_last_and_time_before_them(
    names: tuple[str, ...], lead: tuple[int, ...], shape: tuple[int, ...], order: str
) -> None:
    found = as_volume(image(*lead), names)
    assert found.shape == (*shape, 6, 5)
    assert np.array_equal(found.squeeze(), np.einsum(order, image(*lead)))


def test_other_files_keep_the_axes_and_pictures_have_none() -> None:
    film = with_frames(measurement((4,)))
    assert as_stored("x.npz", image(4), film).shape == (4, 6, 5)
    assert as_stored("x.nii.gz", image(4), film).shape == (4, 1, 6, 5)
    assert as_stored("dicom/", image(4), film).shape == (4, 1, 6, 5)
    assert as_stored("x.png", image(1), measurement((1,))).shape == (6, 5)


@pytest.mark.parametrize("dimension", [5, 10, 13])
def test_what_bart_counts_goes_back_into_its_dimension(tmp_path: Path, dimension: int) -> None:
    kspace = np.random.default_rng(0).normal(size=(4, 1, 20, 18)) + 0j
    full = np.zeros((3, *(1,) * (dimension - 4), *kspace.shape), np.complex64) + kspace
    write_cfl(tmp_path / "k", full)
    found = read_cfl_measurement(tmp_path / "k.cfl")
    assert found.data.shape == (3, 4, 20, 18)
    written = image(3)[..., :5]
    path = write_cfl_image(tmp_path / "x.cfl", as_stored("x.cfl", written, found), overwrite=False)
    sizes = [int(n) for n in (tmp_path / "x.hdr").read_text().split("\n")[1].split()]
    assert {i: n for i, n in enumerate(sizes) if n > 1} == {0: 5, 1: 6, dimension: 3}
    assert np.array_equal(read_cfl(path).squeeze(), written)


def test_slabs_and_their_slices_have_a_dimension_each(tmp_path: Path) -> None:
    shape = (2, *(1,) * 9, 4, 6, 20, 18)  # slice, ..., coil, z, y, x
    random = np.random.default_rng(0)
    write_cfl(tmp_path / "k", random.normal(size=shape))
    found = read_cfl_measurement(tmp_path / "k.cfl")
    assert found.provenance["axes"] == ["slab", "slice"] and found.data.shape[:2] == (2, 6)
    stored = as_stored("x.cfl", image(2, 6), found)
    assert stored.shape == (1, 1, 2, *(1,) * 10, 6, 6, 5)


def test_axes_that_bart_has_no_dimension_for_are_refused() -> None:
    for names in (["set", "slice"], ["item", "slice"], ["repetition", "frame"]):
        with pytest.raises(FormatError, match=r"does not fit a cfl.*\.npz"):
            as_stored("x.cfl", image(2, 3), measurement((2, 3), names))
