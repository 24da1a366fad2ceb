"""How an image lies against a DICOM series: by its positions, or by its likeness."""

# mypy: disable-error-code="no-untyped-call"
# (nibabel has no types)

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from rimaging.datasets.dicom_series import Series
from rimaging.datasets.geometry import planes_affine, voxel_sizes
from rimaging.errors import DataError

__all__ = ["matched"]

ALIKE, CLEARLY = 0.5, 0.02
"""Least correlation with the pictures of a series, and least lead on any other orientation.

Of noisy brains against themselves mirrored, the nearest to symmetric that there is, the lead was
0.04 and more.
"""


def matched(
    series: Series, image: np.ndarray, affine: np.ndarray | None, *, scanner: bool
) -> tuple[np.ndarray, str]:
    """Turn an image (frame, slice, y, x) to lie as the series does, and say how that was known.

    Where the scan states its positions (``scanner``), they say which axes to turn, and that it is
    the same place, to a voxel: a half is what vendors differ by. Else the pictures of the series
    say it: the one orientation of which the correlation with them is clearly the best.

    Raises DataError for another size or place, and where the orientation stays unknown: left and
    right must never be guessed.
    """
    if scanner and affine is not None:
        return _turned_by_position(series, image, affine), "oriented by the positions of the scan"
    return _turned_by_likeness(series, image, affine)


def _turned_by_position(series: Series, image: np.ndarray, affine: np.ndarray) -> np.ndarray:
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

    target = planes_affine(series.planes)
    volume = np.transpose(image)  # (x, y, slice, frame), as the affine counts
    onto: Any = io_orientation(np.linalg.inv(target) @ affine)
    turned = apply_orientation(volume, onto)
    moved = affine @ inv_ornt_aff(onto, volume.shape[:3])
    if turned.shape[2::-1] != series.shape:
        raise _size_error(series, image)
    ends = [(0, n - 1) for n in turned.shape[:3]]
    corners = np.array([*product(*ends)], dtype=float)
    homogeneous = np.concatenate([corners, np.ones((len(corners), 1))], axis=1)
    away = (np.linalg.inv(target) @ moved @ homogeneous.T).T[:, :3] - corners
    if np.abs(away).max() > 1:
        mm = float(np.linalg.norm((moved - target)[:3] @ homogeneous.T, axis=0).max())
        raise DataError(
            f"the corners of the scan lie up to {mm:.4g} mm from those of the DICOM series: give "
            "the series of this scan, or save without like=."
        )
    return np.asarray(np.transpose(turned))


def _turned_by_likeness(
    series: Series, image: np.ndarray, affine: np.ndarray | None
) -> tuple[np.ndarray, str]:
    shown = series.pixels().ravel()
    scores: list[tuple[float, np.ndarray]] = []
    slices, rows, columns = image.shape[1:]
    y, x = series.planes.pixel_spacing
    right_size = False
    for swap in (False, True):
        if (slices, *((columns, rows) if swap else (rows, columns))) != series.shape:
            continue
        right_size = True
        if affine is not None and not np.allclose(
            voxel_sizes(affine)[:2], (y, x) if swap else (x, y), rtol=0.05
        ):
            continue
        oriented = image.swapaxes(-1, -2) if swap else image
        for steps in product((1, -1) if slices > 1 else (1,), (1, -1), (1, -1)):
            turned = oriented[:, :: steps[0], :: steps[1], :: steps[2]]
            scores.append((_correlation(turned.mean(0).ravel(), shown), turned))
    if not right_size:
        raise _size_error(series, image)
    if not scores:
        sizes = " x ".join(f"{size:.4g}" for size in voxel_sizes(affine)[1::-1])  # type: ignore[arg-type]
        raise DataError(
            f"the voxels of the scan are {sizes} mm (y, x), those of the DICOM series {y:.4g} x "
            f"{x:.4g}: give the series of this scan."
        )
    scores.sort(key=lambda pair: -pair[0])
    best, turned = scores[0]
    lead = best - scores[1][0]
    if best < ALIKE or lead < CLEARLY:
        raise DataError(
            "the scan states no positions, and its likeness to the pictures of the DICOM series "
            f"({best:.2f}, {lead:.3f} before the next orientation) does not say how it lies: left "
            "and right would be a guess; save as .nii.gz, or give the series of this scan."
        )
    return turned, f"oriented by likeness to the series, correlation {best:.2f}"


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(dtype=np.float64), b - b.mean(dtype=np.float64)
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0 else 0.0


def _size_error(series: Series, image: np.ndarray) -> DataError:
    slices, rows, columns = image.shape[-3:]
    theirs = series.shape
    return DataError(
        f"the DICOM series has {theirs[0]} slices of {theirs[1]} x {theirs[2]}, the image {slices} "
        f"of {rows} x {columns}: give the series of this scan, not interpolated."
    )
