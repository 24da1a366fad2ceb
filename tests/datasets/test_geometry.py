from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from rimaging.datasets.geometry import (
    affine,
    centre_cropped,
    image_planes,
    is_sheared,
    planes_affine,
    slice_order,
    stack_affine,
    voxel_sizes,
)
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.save import save
from rimaging.errors import DataError, ShapeError
from rimaging.operators.fourier import centred_ifft

ANGLES = {"axial": (0, 0, 0), "oblique": (25, 0, 0), "double-oblique": (25, -40, 15)}
POSITION = np.array([12.0, -30.0, 47.0])
SIZES = (1.25, 0.8, 4.0)  # read, phase, slice

angles = st.tuples(*[st.floats(-180, 180)] * 3)
lengths = st.integers(1, 9)
voxels = st.tuples(*[st.floats(0.3, 9)] * 3)


def frame(angles: tuple[float, ...], *, left_handed: bool = False) -> np.ndarray:
    """Read, phase and slice directions as columns."""
    rotation: np.ndarray = Rotation.from_euler("zxy", angles, degrees=True).as_matrix()
    if left_handed:
        rotation[:, 2] *= -1
    return rotation


def ras(lps: np.ndarray) -> np.ndarray:
    return lps * [-1, -1, 1]


def scan_of_a_point(point: np.ndarray, axes: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """k-space (z, read, phase) of a point in the patient, as the gradients encode it."""
    n = np.array([shape[1], shape[2], shape[0]])  # read, phase, partition
    turns = axes.T @ (point - POSITION) / (n * SIZES)  # per step of k
    z, read, phase = np.meshgrid(*[np.arange(m) - m // 2 for m in shape], indexing="ij")
    phases = read * turns[0] + phase * turns[1] + z * turns[2]
    return np.exp(-2j * np.pi * phases).astype(np.complex64)


@pytest.mark.parametrize("handed", [False, True])
@pytest.mark.parametrize("angles", ANGLES.values(), ids=ANGLES.keys())
@pytest.mark.parametrize("shape", [(4, 16, 10), (5, 15, 11)])
def test_the_corners_of_a_phantom_lie_where_they_lie_in_the_patient(
    tmp_path: Path, angles: tuple[float, ...], shape: tuple[int, int, int], handed: bool
) -> None:
    """Points of the patient -> k-space -> image with readout oversampling cut -> NIfTI -> them."""
    axes = frame(angles, left_handed=handed)
    slabs, rows, columns = shape
    kept = (slabs, rows // 2, columns)
    scan = affine(POSITION, *axes.T, SIZES, shape)
    corners = np.array(
        [[r, p, z] for r in (-3, 3) for p in (-columns // 2 + 1, 3) for z in (-(slabs // 2), 1)]
    )
    for corner in corners:
        point = POSITION + axes @ (corner * SIZES)
        kspace = torch.from_numpy(scan_of_a_point(point, axes, shape))
        image = centred_ifft(kspace, (-3, -2, -1)).abs()
        image = image[:, (rows - kept[1]) // 2 :][:, : kept[1]]
        source = Measurement(kind="kspace", data=kspace[:, None], affine=scan)
        volume = nibabel.load(save(tmp_path / "f.nii.gz", image, source, overwrite=True))
        values = volume.get_fdata()
        peak = np.unravel_index(values.argmax(), values.shape)
        for found in (volume.affine, volume.get_qform(), volume.get_sform()):
            assert np.allclose(apply_affine(found, peak), ras(point), atol=1e-3)


def test_axial_axes_have_the_names_of_nibabel() -> None:
    # LPS: x to the left, y to the back; the file's first axis is the phase encoding
    found = affine(POSITION, [1, 0, 0], [0, 1, 0], [0, 0, 1], SIZES, (8, 6))
    assert nibabel.aff2axcodes(found) == ("P", "L", "S")
    found = affine(POSITION, [1, 0, 0], [0, 1, 0], [0, 0, 1], SIZES, (8, 6), readout="x")
    assert nibabel.aff2axcodes(found) == ("L", "P", "S")
    coronal = affine(POSITION, [0, 0, -1], [1, 0, 0], [0, 1, 0], SIZES, (8, 6))
    assert nibabel.aff2axcodes(coronal) == ("L", "I", "P")


@given(angles, voxels, lengths, lengths, lengths, st.booleans())
def test_the_position_is_the_centre_of_voxel_n_over_2(
    angles: tuple[float, ...],
    sizes: tuple[float, ...],
    z: int,
    y: int,
    x: int,
    handed: bool,
) -> None:
    axes = frame(angles, left_handed=handed)
    found = affine(POSITION, *axes.T, sizes, (z, y, x))
    assert np.allclose(apply_affine(found, [x // 2, y // 2, z // 2]), ras(POSITION))
    one = affine(POSITION, *axes.T, sizes, (y, x))
    assert np.allclose(apply_affine(one, [x // 2, y // 2, 0]), ras(POSITION))
    read, phase, thick = sizes
    assert np.allclose(voxel_sizes(found), (phase, read, thick))
    assert not is_sheared(found)


@given(angles, voxels, st.integers(2, 6), st.booleans(), st.randoms())
def test_a_stack_holds_every_slice_in_the_order_along_its_normal(
    angles: tuple[float, ...],
    sizes: tuple[float, ...],
    count: int,
    handed: bool,
    random: object,
) -> None:
    axes = frame(angles, left_handed=handed)
    gap = sizes[2] * 1.3
    positions = POSITION + np.arange(count)[:, None] * gap * axes[:, 2]
    shuffled = np.random.default_rng(random.randint(0, 99)).permutation(count)  # type: ignore[attr-defined]
    order = slice_order(positions[shuffled], axes[:, 2])
    assert np.array_equal(shuffled[order], np.arange(count))
    found = stack_affine(positions[shuffled][order], *axes.T, sizes, (count, 6, 4))
    assert np.isclose(voxel_sizes(found)[2], gap)
    for i, position in enumerate(positions):
        assert np.allclose(apply_affine(found, [2, 3, i]), ras(position))


def test_a_stack_that_no_affine_holds_is_refused() -> None:
    axes = frame((10, 20, 30))
    for steps in ([0, 1, 3], [0, 0, 0], [0, 2, 1]):
        positions = POSITION + np.array(steps)[:, None] * axes[:, 2]
        with pytest.raises(DataError, match="not equidistant"):
            stack_affine(positions, *axes.T, SIZES, (3, 6, 4))
    # a staircase is equidistant: an affine holds it, sheared
    stairs = POSITION + np.arange(3)[:, None] * (4 * axes[:, 2] + axes[:, 0])
    assert is_sheared(stack_affine(stairs, *axes.T, SIZES, (3, 6, 4)))


@given(angles, voxels, st.integers(1, 5), lengths, lengths, st.booleans())
def test_dicom_planes_and_affines_are_inverse(
    angles: tuple[float, ...],
    sizes: tuple[float, ...],
    slices: int,
    y: int,
    x: int,
    handed: bool,
) -> None:
    scan = affine(POSITION, *frame(angles, left_handed=handed).T, sizes, (slices, y, x))
    planes = image_planes(scan, slices)
    read, phase, thick = sizes
    assert np.allclose(planes.pixel_spacing, (read, phase))
    assert np.isclose(planes.slice_spacing, thick)
    # DICOM PS3.3 C.7.6.2.1.1: P = IPP + row direction * column spacing * j + ...
    for k in range(slices):
        rows, columns = np.array(planes.orientation).reshape(2, 3)
        across, down = planes.pixel_spacing[1], planes.pixel_spacing[0]
        last = planes.positions[k] + rows * across * (x - 1) + columns * down * (y - 1)
        assert np.allclose(ras(last), apply_affine(scan, [x - 1, y - 1, k]))
    back = planes_affine(planes)
    if slices == 1 and not np.allclose(back[:3, 2], scan[:3, 2]):
        back[:3, 2] *= -1  # one slice alone has no order along its normal
    assert np.allclose(back, scan)


def test_dicom_cannot_hold_skewed_pixels() -> None:
    skewed = np.eye(4)
    skewed[0, 1] = 0.3
    with pytest.raises(DataError, match="perpendicular"):
        image_planes(skewed, 1)


@given(lengths, lengths, lengths, st.data())
def test_a_centre_crop_stays_where_it_was(z: int, y: int, x: int, data: st.DataObject) -> None:
    kept = [data.draw(st.integers(1, n)) for n in (z, y, x)]
    first = [(n - m) // 2 for n, m in zip((z, y, x), kept, strict=True)]
    scan = affine(POSITION, *frame((10, 20, 30)).T, SIZES, (z, y, x))
    cropped = centre_cropped(scan, (z, y, x), kept)
    assert np.allclose(apply_affine(cropped, [0, 0, 0]), apply_affine(scan, first[::-1]))
    plane = centre_cropped(scan, (z, y, x), kept[1:])
    assert np.allclose(apply_affine(plane, [0, 0, 0]), apply_affine(scan, [*first[:0:-1], 0]))


def test_vectors_that_say_nothing_are_refused() -> None:
    good = np.eye(3)
    for bad in (np.zeros((3, 3)), 2 * good, good + 0.01):
        with pytest.raises(DataError, match="perpendicular unit vectors"):
            affine(POSITION, *bad.T, SIZES, (4, 4))
    with pytest.raises(DataError, match="voxel sizes"):
        affine(POSITION, *good, (1.0, 0.0, 1.0), (4, 4))
    with pytest.raises(DataError, match="finite"):
        affine([0, 0, np.nan], *good, SIZES, (4, 4))
    with pytest.raises(ShapeError, match="position"):
        affine([0, 0], *good, SIZES, (4, 4))
    # rounding of a float32 header is forgiven, and taken out
    rounded = affine(POSITION, *(frame((10, 20, 30)).T + 2e-5), SIZES, (4, 4))
    axes = rounded[:3, :3] / voxel_sizes(rounded)
    assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-12)
