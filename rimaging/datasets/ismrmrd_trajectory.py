"""Radial, spiral and other trajectories of ISMRMRD files as a measurement.

Coordinates are stored as (kx, ky[, kz]); x is the direction of `read_dir`, and stays x here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.geometry import affine, slice_order, stack_affine, voxel_sizes
from rimaging.datasets.ismrmrd_file import Acquisitions
from rimaging.datasets.ismrmrd_header import Encoding
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.readouts import COUNTERS, ranks
from rimaging.datasets.scanner import Vectors, whitener
from rimaging.errors import DataError, FormatError
from rimaging.operators.whitening import whiten

__all__ = ["read_along", "used_by_all"]


def read_along(
    file: Acquisitions,
    imaging: np.ndarray,
    encoding: Encoding,
    *,
    vectors: Vectors | None,
    noise: Tensor | None,
    notes: list[str],
    provenance: dict[str, Any],
) -> Measurement:
    """k-space (..., slice, coil, shot, sample) with its trajectory; no slice axis in 3-D.

    Coordinates within 0.5 are cycles per pixel, others cycles per field of view of the image.
    A third coordinate of a scan without partitions is its density. Raises FormatError for readouts
    of unequal length, unequal numbers of shots, and partitions of a planar trajectory.
    """
    heads = file.heads[imaging]
    _check(heads)
    counted = [ranks(heads["idx"][name]) for name in COUNTERS]
    lead = tuple(n for _, n in counted)
    flat = np.ravel_multi_index([numbers for numbers, _ in counted], lead)
    shots = np.bincount(flat, minlength=math.prod(lead))
    if len(set(shots.tolist())) > 1:
        raise FormatError(
            f"images have {shots.min()} to {shots.max()} shots, expected one number: split the "
            "scan, or reconstruct from rimaging.datasets.ismrmrd.read_samples."
        )
    order = np.argsort(flat, kind="stable")  # of time, within each image
    used = used_by_all(file, imaging)
    data = np.stack([line[:, used] for line in file.samples(imaging)])[order]
    along = np.stack([path[used] for path in file.trajectories(imaging)])[order].astype(np.float32)
    samples = data.shape[-1]
    kspace = data.reshape(*lead, shots[0], -1, samples).swapaxes(-2, -3)
    path = along.reshape(*lead, shots[0], samples, -1)
    depth = int(encoding.matrix[2]) if math.isfinite(encoding.matrix[2]) else 1
    path, density = _coordinates(path, depth, notes)
    solid = path.shape[-1] == 3
    if depth > 1 and not solid:
        raise FormatError(
            f"a planar trajectory with {depth} partitions (a stack of stars or spirals) is not "
            "read: transform along the partitions and reconstruct from arrays."
        )
    size, voxel = _image(encoding, solid)
    place, where = _place(vectors, voxel, size, lead[-1], solid)
    if vectors is not None and not solid and vectors.parallel():
        sort = slice_order(vectors.position, vectors.slice[0])
        axis = COUNTERS.index("slice")
        kspace, path = np.take(kspace, sort, axis), np.take(path, sort, axis)
        density = None if density is None else np.take(density, sort, axis)
    names = [
        n for n, k in zip(COUNTERS, lead, strict=True) if k > 1 or (n == "slice" and not solid)
    ]
    kept = tuple(k for n, k in zip(COUNTERS, lead, strict=True) if n in names)
    tensor = torch.from_numpy(np.ascontiguousarray(kspace.reshape(*kept, *kspace.shape[5:])))
    matrix = None if noise is None else whitener(noise, notes)
    facts = {**provenance, **where, "axes": names}
    if notes:
        facts["assumed"] = notes
    return Measurement(
        kind="kspace",
        data=tensor if matrix is None else whiten(tensor, matrix),
        noise=None if matrix is None else 1.0,
        trajectory=_shared(path, kept, 3),
        density=None if density is None else _shared(density, kept, 2),
        matrix=size,
        affine=place,
        provenance=facts,
    )


def used_by_all(file: Acquisitions, imaging: np.ndarray) -> slice:
    """The samples of each readout that are not discarded.

    Raises FormatError where readouts do not discard the same.
    """
    first, last = file.used(imaging)
    if len(np.unique(first)) > 1 or len(np.unique(last)) > 1:
        raise FormatError(
            "readouts along a trajectory discard different samples (discard_pre, discard_post), "
            "expected the same: split the scan."
        )
    return slice(int(first[0]), int(last[0]))


def _check(heads: np.ndarray) -> None:
    for name in ("number_of_samples", "active_channels", "trajectory_dimensions"):
        values = np.unique(heads[name])
        if len(values) > 1:
            raise FormatError(
                f"readouts differ in {name} ({values[0]} to {values[-1]}), expected one value: "
                "split the scan."
            )


def _coordinates(
    path: np.ndarray, depth: int, notes: list[str]
) -> tuple[np.ndarray, np.ndarray | None]:
    """(kx, ky[, kz]) as (..., [kz,] ky, kx), and the density, if that is the third."""
    axes = path.shape[-1]
    if axes not in (2, 3):
        raise FormatError(f"the trajectory has {axes} coordinates, expected 2 or 3.")
    if axes == 3 and depth == 1:
        third = path[..., 2]
        flat = not third.any()
        if not flat and bool((third >= 0).all()):
            notes.append("third coordinate of the trajectory taken as its density")
        elif not flat:
            return path[..., ::-1].copy(), None
        return path[..., 1::-1].copy(), None if flat else third
    return path[..., ::-1].copy(), None


def _image(
    encoding: Encoding, solid: bool
) -> tuple[tuple[int, ...] | None, tuple[float, float, float] | None]:
    """Matrix ([z,] y, x) of the image and its voxels (x, y, z) in mm, where they are stated."""
    matrix, fov = encoding.recon_matrix, encoding.recon_fov
    if not all(math.isfinite(n) and n >= 1 for n in matrix):
        return None, None
    x, y, z = (int(n) for n in matrix)
    size = (z, y, x) if solid else (y, x)
    if not all(math.isfinite(length) and length > 0 for length in fov):
        return size, None
    return size, (fov[0] / x, fov[1] / y, fov[2] / z)


def _place(
    vectors: Vectors | None,
    voxel: tuple[float, float, float] | None,
    size: tuple[int, ...] | None,
    slices: int,
    solid: bool,
) -> tuple[np.ndarray | None, dict[str, Any]]:
    if voxel is None or size is None:
        return None, {}
    stated = {"voxel_mm": list(voxel), "slice_thickness_mm": voxel[2]}
    if vectors is None or not vectors.parallel():
        return None, {**stated, "geometry": "no affine: directions of slices unknown, or several"}
    read, phase, normal = vectors.read[0], vectors.phase[0], vectors.slice[0]
    try:
        if solid:
            first = vectors.position[0]
            place = affine(first, read, phase, normal, voxel, size, readout="x")
        else:
            sorted_by = slice_order(vectors.position, normal)
            place = stack_affine(
                vectors.position[sorted_by], read, phase, normal, voxel, (slices, *size),
                readout="x",
            )  # fmt: skip
    except DataError as error:
        return None, {**stated, "geometry": f"no affine: {error}"}
    return place, {**stated, "voxel_mm": list(voxel_sizes(place))}


def _shared(values: np.ndarray, kept: tuple[int, ...], core: int) -> Tensor:
    """One for all images where they agree."""
    own = values.shape[values.ndim - core :]
    each = values.reshape(-1, *own)
    if bool((each == each[:1]).all()):
        return torch.from_numpy(np.ascontiguousarray(each[0]))
    return torch.from_numpy(np.ascontiguousarray(values.reshape(*kept, *own)))
