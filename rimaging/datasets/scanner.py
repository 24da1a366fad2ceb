"""From readouts on their grid to a measurement: whitening, oversampling, slices, geometry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.geometry import affine, slice_order, stack_affine, voxel_sizes
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.readouts import COUNTERS, Grid
from rimaging.datasets.volumes import crop_readout, middle_of, split_axis, to_slices
from rimaging.errors import DataError, RimagingError
from rimaging.operators.espirit import espirit
from rimaging.operators.whitening import noise_covariance, whiten, whitening_matrix

__all__ = ["Vectors", "scan_measurement", "whitener"]

CALIBRATION = 24
"""Largest side of the block of a calibration scan that coil maps are estimated from."""

NO_DIRECTIONS = "the file states no slice positions or directions; affine from voxel sizes only"
AXIAL = ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
"""Readout to the back, phase encoding to the left, slices upwards (LPS)."""


@dataclass(frozen=True, kw_only=True)
class Vectors:
    """Where slices lie, LPS in mm: positions (slice, 3), unit vectors (slice, 3) each."""

    position: np.ndarray
    read: np.ndarray
    phase: np.ndarray
    slice: np.ndarray

    def parallel(self) -> bool:
        """Whether all slices have the same directions."""
        vectors = (self.read, self.phase, self.slice)
        return all(np.allclose(v, v[:1], atol=1e-3) for v in vectors)


def scan_measurement(
    grid: Grid,
    *,
    keep: tuple[int, int, int],
    voxel_mm: tuple[float, float, float] | None,
    vectors: Vectors | None,
    noise: Tensor | None,
    calibration: Grid | None,
    provenance: dict[str, Any],
) -> Measurement:
    """Finish a Cartesian scan: k-space (..., slice, coil, y, x), the readout along y.

    Slices are sorted along their normal; noise samples (coil, n), scaled to the dwell time of the
    scan, whiten the coils; the oversampling of the readout is removed; a volume of partitions is
    split into slices along an axis without gaps; coil maps come from a separate calibration scan.

    keep: voxels (x, y, z) of measured size in the field of view of the image; x is the readout.
    """
    notes = list(grid.notes)
    if vectors is not None and vectors.parallel():
        order = slice_order(vectors.position, vectors.slice[0])
        grid, vectors = _sorted(grid, order), _reordered(vectors, order)
        calibration = None if calibration is None else _sorted(calibration, order)
    matrix = None if noise is None else whitener(noise, notes)
    count = torch.from_numpy(grid.count)
    measured = (count > 0).to(torch.float32)
    axis = split_axis(measured) if measured.shape[-3] > 1 else None
    whole = bool((measured == measured[..., :1]).all())
    width = keep[0] if whole else measured.shape[-1]
    if not whole and keep[0] < width:
        notes.append("asymmetric readouts keep their oversampling; the image is cropped instead")
    if not whole and axis == "x":
        notes.append("readouts with missing samples were filled with zeros: blurred along them")
    depth = keep[0] if axis == "x" else keep[2]
    data = _slices(grid, matrix, width, depth, axis)
    often = count.narrow(-1, count.shape[-1] // 2 - width // 2, width)
    often = _arranged_count(often, axis)
    data, often, axes = _squeezed(data, often)
    kept = [keep[2], keep[1]] if axis == "x" else [keep[0], keep[1]]
    size = [min(n, int(m)) for n, m in zip(kept, data.shape[-2:], strict=True)]
    if size != list(data.shape[-2:]):
        provenance = {**provenance, "recon_size": size}
    place, where = _affine(vectors, voxel_mm, axis, tuple(data.shape))
    provenance = {**provenance, "axes": axes, **where}
    if axis is not None:
        provenance["split"] = f"volume split into slices along {axis} of the scanner"
    maps = None
    if calibration is not None:
        provenance["calibration_scan"] = "separate"
        maps = _maps(_slices(calibration, matrix, width, depth, axis), data, notes)
    if notes:
        provenance["assumed"] = notes
    mask = _shared((often > 0).to(torch.float32))
    return Measurement(
        kind="kspace",
        data=data,
        mask=mask,
        maps=maps,
        noise=None if matrix is None else _sigma(often),
        affine=place,
        provenance=provenance,
    )


def _sorted(grid: Grid, order: np.ndarray) -> Grid:
    """The grid with its slices in another order."""
    if len(order) == 1 or bool((np.diff(order) > 0).all()):
        return grid
    axis = COUNTERS.index("slice")
    kspace, count = (np.take(values, order, axis) for values in (grid.kspace, grid.count))
    return replace(grid, kspace=kspace, count=count)


def _reordered(vectors: Vectors, order: np.ndarray) -> Vectors:
    return Vectors(
        position=vectors.position[order],
        read=vectors.read[order],
        phase=vectors.phase[order],
        slice=vectors.slice[order],
    )


def whitener(noise: Tensor, notes: list[str]) -> Tensor | None:
    """The whitening matrix of noise samples (coil, n); None, and a note, where they are no use."""
    try:
        matrix = whitening_matrix(noise_covariance(noise))
    except DataError as error:
        notes.append(f"noise scan left out, coils not whitened: {error}")
        return None
    notes.append(f"coils whitened by a noise scan of {noise.shape[1]} samples: sigma is 1")
    return matrix


def _slices(
    grid: Grid,
    matrix: Tensor | None,
    width: int,
    depth: int,
    axis: Literal["z", "x"] | None,
) -> Tensor:
    """The grid (*COUNTERS, coil, z, y, x) as slices (*COUNTERS, coil, row, column)."""
    data = torch.from_numpy(grid.kspace)
    if matrix is not None:
        data = whiten(data, matrix, axis=-4)
    if width < data.shape[-1]:
        data = crop_readout(data, width)
    if axis is None:
        return data.squeeze(-3).transpose(-1, -2).contiguous()
    data = to_slices(data, axis)
    data = middle_of(data, min(depth, data.shape[-4]), -4)
    if axis == "z":
        data = data.transpose(-1, -2)
    # slabs and the slices within each are one axis
    return data.flatten(-5, -4).contiguous()


def _arranged_count(count: Tensor, axis: Literal["z", "x"] | None) -> Tensor:
    """How often each sample was measured, as `_slices` arranges them; 1 where all slices agree."""
    if axis is None:
        return count.squeeze(-3).transpose(-1, -2)
    if axis == "x":
        return count.amax(dim=-1)
    return count.amin(dim=-3).transpose(-1, -2)


def _squeezed(data: Tensor, often: Tensor) -> tuple[Tensor, Tensor, list[str]]:
    """Without the counters that do not count, but for the slice: and the names of the others."""
    shape = tuple(data.shape)
    if often.shape[4] != shape[4]:  # partitions of a slab share their count
        often = often.repeat_interleave(shape[4] // often.shape[4], dim=4)
    axes = [name for name, n in zip(COUNTERS, shape, strict=False) if n > 1 or name == "slice"]
    lead = [n for name, n in zip(COUNTERS, shape, strict=False) if name in axes]
    return data.reshape(*lead, *shape[5:]), often.reshape(*lead, *shape[6:]), axes


def _shared(values: Tensor) -> Tensor:
    """One plane (y, x) where all are the same."""
    planes = values.reshape(-1, *values.shape[-2:])
    return planes[0] if bool((planes == planes[:1]).all()) else values


def _sigma(often: Tensor) -> Tensor | float:
    """The noise of whitened coils where averages were taken: ``1 / sqrt(n)``."""
    measured = often[often > 0]
    if bool((measured == measured[0]).all()):
        return float(1 / np.sqrt(float(measured[0])))
    return _shared(often.clamp_min(1).to(torch.float32).rsqrt()).unsqueeze(-3)


def _maps(calibration: Tensor, data: Tensor, notes: list[str]) -> Tensor | None:
    """Coil maps of a calibration scan on the grid of the data, (slice, coil, y, x)."""
    planes = calibration.reshape(-1, *calibration.shape[-4:])[0]
    if planes.shape != data.shape[-4:]:
        notes.append("calibration scan left out: its slices are not those of the image")
        return None
    try:
        measured = (planes != 0).any(dim=-3).to(torch.float32)
        maps = espirit(planes, measured, calibration=CALIBRATION, kernel=None)
    except RimagingError as error:
        notes.append(f"calibration scan left out: {error}")
        return None
    notes.append("coil maps estimated by ESPIRiT from the file's separate calibration scan")
    return maps


def _affine(
    vectors: Vectors | None,
    voxel_mm: tuple[float, float, float] | None,
    axis: Literal["z", "x"] | None,
    shape: tuple[int, ...],
) -> tuple[np.ndarray | None, dict[str, Any]]:
    """The affine of k-space (..., slice, coil, y, x), and what provenance says of it."""
    if voxel_mm is None:
        return None, {}
    grid = (shape[-4], *shape[-2:])
    place = None
    if vectors is not None and vectors.parallel():
        try:
            place = _placed(vectors, voxel_mm, axis, grid)
        except DataError as error:
            return None, {"geometry": f"no affine: {error}"}
    elif vectors is not None:
        return None, {"geometry": "slices of different directions: no affine holds them all"}
    unknown = {}
    if place is None:
        read, phase, normal = (np.array([vector]) for vector in AXIAL)
        middle = Vectors(position=np.zeros((1, 3)), read=read, phase=phase, slice=normal)
        place = _placed(middle, voxel_mm, axis or "z", grid)
        unknown = {"geometry": NO_DIRECTIONS}
    thick = voxel_mm[0] if axis == "x" else voxel_mm[2]
    known = {"voxel_mm": list(voxel_sizes(place)), "slice_thickness_mm": thick}
    return place, {**known, **unknown}


def _placed(
    vectors: Vectors,
    voxel_mm: tuple[float, float, float],
    axis: Literal["z", "x"] | None,
    grid: tuple[int, ...],
) -> np.ndarray:
    read, phase, normal = vectors.read[0], vectors.phase[0], vectors.slice[0]
    if axis is None:
        return stack_affine(vectors.position, read, phase, normal, voxel_mm, grid)
    if len(vectors.position) > 1:
        raise DataError("several slabs overlap, they are no one volume")
    x, y, z = voxel_mm
    if axis == "x":  # rows are partitions, and slices lie along the readout
        return affine(vectors.position[0], normal, phase, read, (z, y, x), grid)
    return affine(vectors.position[0], read, phase, normal, voxel_mm, grid)
