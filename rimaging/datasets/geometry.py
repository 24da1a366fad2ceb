"""Where the voxels of an image lie in the patient: scanner vectors, affines, DICOM planes.

An affine takes indices (x, y, slice, 1), the axes of an image (..., slice, y, x) backwards, to the
centres of voxels in millimetres, RAS+: x grows to the patient's right, y to the front, z to the
top. ISMRMRD and DICOM write LPS+: left, back, top. Sources: ISMRMRD's acquisition header; DICOM
PS3.3 C.7.6.2.1.1 (image plane); the NIfTI-1 header.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from rimaging.errors import DataError, FormatError, ShapeError

if TYPE_CHECKING:
    from rimaging.datasets.measurement import Measurement

__all__ = [
    "ImagePlanes",
    "affine",
    "centre_cropped",
    "check_positions",
    "image_affine",
    "image_planes",
    "is_sheared",
    "planes_affine",
    "slice_order",
    "stack_affine",
    "voxel_sizes",
]

Vector = npt.ArrayLike

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From LPS+ to RAS+ and back."""

TOLERANCE = 1e-3
"""Of unit vectors and of relative distances: what rounding in headers may spoil."""


def affine(
    position_mm: Vector,
    read_dir: Vector,
    phase_dir: Vector,
    slice_dir: Vector,
    voxel_mm: Sequence[float],
    shape: Sequence[int],
    *,
    readout: Literal["y", "x"] = "y",
) -> np.ndarray:
    """The affine (4, 4) of an image (..., y, x) from the vectors of its acquisitions.

    ``position_mm`` is the point where the gradients' phase is zero, the centre of the slice or of
    the slab. On a centred DFT grid of n points that is the centre of voxel ``n // 2``, not the
    middle of the field of view: for even n the two are half a voxel apart.

    Args:
        position_mm: of the slice or slab, LPS.
        read_dir, phase_dir, slice_dir: unit vectors, LPS, along which the indices of readout,
            phase encoding and slice (or partition) grow.
        voxel_mm: sizes along read, phase and slice; the last includes the gap between slices.
        shape: of the image as it comes out of the Fourier transform. (y, x): one slice, or the
            first of a stack. (..., z, y, x): a slab of z partitions, centred on the position.
        readout: the axis of the image along which the readout runs: y in this house, as fastMRI's.

    Raises DataError for vectors that are not perpendicular unit vectors, and for sizes that are not
    positive.
    """
    axes = _directions(read_dir, phase_dir, slice_dir)
    sizes = np.asarray(voxel_mm, dtype=np.float64)
    if sizes.shape != (3,) or not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise DataError(f"voxel sizes are {list(voxel_mm)}, expected three positive mm.")
    columns = (axes * sizes)[:, [0, 1, 2] if readout == "x" else [1, 0, 2]]
    slab = shape[-3] if len(shape) > 2 else 1
    centre = np.array([shape[-1], shape[-2], slab]) // 2
    return _assembled(columns, _vector(position_mm, "position"), centre)


def stack_affine(
    positions_mm: npt.ArrayLike,
    read_dir: Vector,
    phase_dir: Vector,
    slice_dir: Vector,
    voxel_mm: Sequence[float],
    shape: Sequence[int],
    *,
    readout: Literal["y", "x"] = "y",
) -> np.ndarray:
    """The affine of parallel slices (slice, y, x) from the position of each, as `affine`.

    The spacing, gaps included, is the distance of the positions; of one slice it is its thickness,
    ``voxel_mm[2]``. Sort the slices by `slice_order` first.

    Raises DataError where slices are not equidistant or lie upon each other: then no affine holds
    them all.
    """
    positions = np.asarray(positions_mm, dtype=np.float64).reshape(-1, 3)
    first = affine(
        positions[0], read_dir, phase_dir, slice_dir, voxel_mm, shape[-2:], readout=readout
    )
    if len(positions) > 1:
        first[:3, 2] = LPS[:3, :3] @ _step(positions, _vector(slice_dir, "slice direction"))
    return first


def slice_order(positions_mm: npt.ArrayLike, slice_dir: Vector) -> np.ndarray:
    """The permutation (slice,) that sorts positions (slice, 3) along the slice direction."""
    along = np.asarray(positions_mm, dtype=np.float64) @ _vector(slice_dir, "slice direction")
    return np.argsort(along, kind="stable")


def centre_cropped(
    affine: np.ndarray, original: Sequence[int], cropped: Sequence[int]
) -> np.ndarray:
    """Move an affine to the centre crop of the axes (slice, y, x), begun at ``(n - m) // 2``.

    So oversampling is removed: the voxels stay where they are, the first one is another.
    """
    moved = affine.copy()
    axes = min(3, len(original), len(cropped))
    # the affine counts (x, y, slice), arrays (slice, y, x)
    skipped = [(original[-i] - cropped[-i]) // 2 for i in range(1, axes + 1)]
    moved[:3, 3] += affine[:3, :axes] @ np.array(skipped, dtype=np.float64)
    return moved


def image_affine(
    measurement: Measurement | None, shape: Sequence[int]
) -> tuple[np.ndarray | None, bool]:
    """The affine of an image of a measurement, and whether it states positions in the scanner.

    Rows and columns may have been cropped, slices not. Where it does not state them, a reader has
    left a word on it in ``provenance["geometry"]``.
    """
    if measurement is None or measurement.affine is None:
        return None, False
    moved = centre_cropped(measurement.affine, measurement.image_shape[-2:], shape[-2:])
    return moved, "geometry" not in measurement.provenance


def check_positions(measurement: Measurement | None) -> None:
    """Refuse to make DICOM of a scan that does not say where its slices lie, by FormatError."""
    known = measurement is not None and measurement.affine is not None
    if measurement is None or not known or "geometry" in measurement.provenance:
        raise FormatError(
            "the scan states no slice positions, and DICOM cannot do without: give like=, a series "
            "of this scan, or save as .nii.gz."
        )


def voxel_sizes(affine: np.ndarray) -> tuple[float, float, float]:
    """Sizes (x, y, slice) in mm: the lengths of the columns."""
    x, y, z = (float(size) for size in np.linalg.norm(affine[:3, :3], axis=0))
    return x, y, z


def is_sheared(affine: np.ndarray) -> bool:
    """Whether the axes are not perpendicular: a qform and a rotation cannot hold that."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > TOLERANCE)


@dataclass(frozen=True, kw_only=True, eq=False)
class ImagePlanes:
    """The geometry of a stack of slices as DICOM writes it, LPS.

    orientation: ImageOrientationPatient, the direction of rows (x grows) then of columns (y grows).
    positions: ImagePositionPatient of each slice (slice, 3): the centre of its first voxel.
    pixel_spacing: PixelSpacing, between rows (y) then between columns (x), mm.
    slice_spacing: SpacingBetweenSlices, along the normal, gaps included, mm.
    """

    orientation: tuple[float, ...]
    positions: np.ndarray
    pixel_spacing: tuple[float, float]
    slice_spacing: float

    @property
    def normal(self) -> np.ndarray:
        """Rows times columns: the direction of SliceLocation."""
        return np.cross(self.orientation[:3], self.orientation[3:])


def image_planes(affine: np.ndarray, slices: int) -> ImagePlanes:
    """The DICOM planes of an affine, the inverse of `planes_affine`.

    Raises DataError where rows and columns are not perpendicular, which DICOM cannot hold.
    """
    lps = LPS @ affine
    x, y, _ = voxel_sizes(affine)
    rows, columns = lps[:3, 0] / x, lps[:3, 1] / y
    if abs(float(rows @ columns)) > TOLERANCE:
        raise DataError(
            "rows and columns of the image are not perpendicular, and DICOM cannot say so: "
            "resample the image, or save it as .nii.gz."
        )
    positions = lps[:3, 3] + np.arange(slices)[:, None] * lps[:3, 2]
    return ImagePlanes(
        orientation=(*map(float, rows), *map(float, columns)),
        positions=positions,
        pixel_spacing=(y, x),
        slice_spacing=abs(float(np.cross(rows, columns) @ lps[:3, 2])),
    )


def planes_affine(planes: ImagePlanes) -> np.ndarray:
    """The affine of DICOM planes; raise DataError where they are not equidistant."""
    rows, columns = np.array(planes.orientation[:3]), np.array(planes.orientation[3:])
    step = planes.normal * planes.slice_spacing
    if len(planes.positions) > 1:
        step = _step(planes.positions, planes.normal)
    y, x = planes.pixel_spacing
    matrix = np.stack([rows * x, columns * y, step], axis=1)
    return _assembled(matrix, planes.positions[0], np.zeros(3))


def _directions(*vectors: Vector) -> np.ndarray:
    """Unit vectors as the columns of a matrix, freed of the rounding of float32 headers."""
    matrix = np.stack([_vector(vector, "direction") for vector in vectors], axis=1)
    if np.abs(matrix.T @ matrix - np.eye(3)).max() > TOLERANCE:
        raise DataError(
            "read, phase and slice directions are not perpendicular unit vectors: the file states "
            "no geometry, or a wrong one; reconstruct the arrays without it."
        )
    u, _, v = np.linalg.svd(matrix)
    return np.asarray(u @ v)


def _vector(values: Vector, what: str) -> np.ndarray:
    vector = np.asarray(values, dtype=np.float64)
    if vector.shape != (3,):
        raise ShapeError(f"the {what} has shape {vector.shape}, expected (3,): x, y, z.")
    if not np.isfinite(vector).all():
        raise DataError(f"the {what} is {vector.tolist()}, expected finite numbers.")
    return vector


def _step(positions: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """From each slice to the next (3,); raise DataError where that is not one vector for all."""
    steps = np.diff(positions, axis=0)
    mean = (positions[-1] - positions[0]) / len(steps)
    spacing = abs(float(mean @ normal))
    if spacing == 0 or np.abs(steps - mean).max() > max(0.01 * spacing, 0.01):
        along = steps @ normal
        raise DataError(
            f"the slices are not equidistant (from {along.min():.4g} to {along.max():.4g} mm): no "
            "affine holds them; sort them with slice_order, or save groups of equal spacing."
        )
    return np.asarray(mean)


def _assembled(columns: np.ndarray, point: np.ndarray, index: np.ndarray) -> np.ndarray:
    """The RAS+ affine with columns of LPS+ vectors, whose voxel ``index`` lies at ``point``."""
    lps = np.eye(4)
    lps[:3, :3] = columns
    lps[:3, 3] = point - columns @ index
    return np.asarray(LPS @ lps)
