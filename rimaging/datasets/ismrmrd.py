"""ISMRMRD (MRD) raw data, as scanners and converters write it, as a measurement.

Axes: the readout runs along y, phase encoding along x, as in fastMRI's files. After a reversed
readout was turned round, zero frequency is at its `center_sample`. Source: Inati et al., Magn.
Reson. Med. 77 (2017) 411.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.guard import existing_file, identity
from rimaging.datasets.ismrmrd_file import Acquisitions, opened
from rimaging.datasets.ismrmrd_header import Encoding
from rimaging.datasets.ismrmrd_roles import calibration_roles, sorted_out
from rimaging.datasets.ismrmrd_trajectory import read_along, used_by_all
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.readouts import COUNTERS, Grid, Readouts, onto_grid
from rimaging.datasets.scanner import Vectors, scan_measurement
from rimaging.errors import FormatError

__all__ = ["read_ismrmrd", "read_samples"]


def read_ismrmrd(path: str | Path) -> Measurement:
    """Read a scan: Cartesian k-space (..., slice, coil, y, x), the readout along y.

    Repetitions, sets, cardiac phases and contrasts are axes in front where there are several,
    averages are averaged. Noise scans whiten the coils. Calibration lines are merged where they
    belong to the scan; of a separate calibration scan coil maps are made. What was not measured
    (partial Fourier, asymmetric echo, undersampling) is zero, and 0 in the mask. The oversampling
    of the readout is removed. Other trajectories as `read_along` has them. Nothing of who was
    scanned is read.

    Raises FormatError for damaged files, and for headers that contradict the data.
    """
    path = existing_file(path)
    with opened(path) as file:
        imaging, calibration, noise, encoding, notes = sorted_out(file)
        along = encoding.trajectory not in ("cartesian", "epi")
        if along and int(file.heads["trajectory_dimensions"][imaging].max()) == 0:
            if encoding.trajectory != "other":
                raise FormatError(
                    f"the scan is {encoding.trajectory} and its file holds no trajectory: "
                    "compute it and reconstruct from arrays."
                )
            notes.append("trajectory not named, taken as Cartesian")
            along = False
        samples = _noise(file, noise, imaging, notes) if len(noise) else None
        facts: dict[str, Any] = {
            "format": "ISMRMRD HDF5",
            "sha256": identity(path),
            "trajectory": encoding.trajectory,
            "noise_scans": len(noise),
        }
        if file.header.patient_position:
            facts["patient_position"] = file.header.patient_position
        if file.header.siemens:
            notes.append("k-space conjugated, for Siemens' sign of the Fourier transform")
        vectors = _vectors(file.heads[imaging])
        if along:
            return read_along(
                file,
                imaging,
                encoding,
                vectors=vectors,
                noise=samples,
                notes=notes,
                provenance=facts,
            )
        matrix = _matrix(encoding)
        merged, apart, said = calibration_roles(file, imaging, calibration, encoding)
        notes += said
        grid = _grid(file, np.sort(np.concatenate((imaging, merged))), encoding, matrix)
        separate = _grid(file, apart, encoding, matrix, one=True) if len(apart) else None
    voxel = encoding.voxel if all(map(_positive, encoding.voxel)) else None
    provenance = {**facts, "matrix": list(matrix), "calibration_lines": len(calibration)}
    if voxel is not None:
        provenance["fov_mm"] = list(encoding.fov)
    if encoding.acceleration is not None:
        provenance["acceleration"] = list(encoding.acceleration)
    grid = Grid(kspace=grid.kspace, count=grid.count, notes=[*notes, *grid.notes])
    return scan_measurement(
        grid,
        keep=_kept(encoding, matrix, grid.notes),
        voxel_mm=voxel,
        vectors=vectors,
        noise=samples,
        calibration=separate,
        provenance=provenance,
    )


def read_samples(path: str | Path) -> tuple[Tensor, Tensor]:
    """Read a scan of any trajectory: samples (coil, readout, n) and coordinates (readout, n, axes).

    Imaging readouts in the order of time, without the samples that the file discards; coordinates
    as it has them, (kx, ky, ...); not whitened. For what `read_ismrmrd` does not read, such as
    stacks of stars.

    Raises FormatError for readouts of different lengths, and as `read_ismrmrd`.
    """
    path = existing_file(path)
    with opened(path) as file:
        imaging, _, _, _, _ = sorted_out(file)
        heads = file.heads[imaging]
        for name in ("number_of_samples", "active_channels", "trajectory_dimensions"):
            if len(np.unique(heads[name])) > 1:
                raise FormatError(
                    f"readouts differ in {name} ({heads[name].min()} to {heads[name].max()}), "
                    "expected one value: split the scan."
                )
        used = used_by_all(file, imaging)
        samples = np.stack([line[:, used] for line in file.samples(imaging)], axis=1)
        coordinates = np.stack([path[used] for path in file.trajectories(imaging)])
    return torch.from_numpy(samples.copy()), torch.from_numpy(coordinates.copy())


def _grid(
    file: Acquisitions,
    chosen: np.ndarray,
    encoding: Encoding,
    matrix: tuple[int, int, int],
    *,
    one: bool = False,
) -> Grid:
    """Readouts on the grid; with ``one``, all that a slice has together."""
    heads = file.heads[chosen]
    coils = np.unique(heads["active_channels"])
    if len(coils) > 1:
        raise FormatError(
            f"readouts have {coils[0]} to {coils[-1]} coils, expected one number: split the scan."
        )
    index = heads["idx"]
    length = heads["number_of_samples"].astype(np.int64)
    first, last = file.used(chosen)
    counters = {name: index[name].astype(np.int64) for name in COUNTERS}
    if one:
        counters = {name: v * (name == "slice") for name, v in counters.items()}
    readouts = Readouts(
        line=index["kspace_encode_step_1"].astype(np.int64),
        partition=index["kspace_encode_step_2"].astype(np.int64),
        centre=heads["center_sample"].astype(np.int64),
        length=length,
        first=first,
        last=last,
        counters=counters,
    )
    return onto_grid(
        readouts,
        file.samples(chosen),
        coils=int(coils[0]),
        matrix=matrix,
        centre=encoding.centre,
        stored=file.stored,
    )


def _matrix(encoding: Encoding) -> tuple[int, int, int]:
    x, y, z = (int(n) if math.isfinite(n) else 0 for n in encoding.matrix)
    if min(x, y, z) < 1:
        raise FormatError(
            f"the encoded matrix is {x} x {y} x {z}, expected whole numbers above 0: correct the "
            "header's encodedSpace."
        )
    return x, y, z


def _kept(
    encoding: Encoding, matrix: tuple[int, int, int], notes: list[str]
) -> tuple[int, int, int]:
    """Voxels of measured size in the field of view of the image, (x, y, z)."""
    kept = []
    for n, fov, recon in zip(matrix, encoding.fov, encoding.recon_fov, strict=True):
        inside = round(n * recon / fov) if _positive(fov) and _positive(recon) else n
        kept.append(min(max(inside, 1), n))
    x, y, z = kept
    wanted = encoding.recon_matrix[:2]
    if all(map(_positive, wanted)) and (int(wanted[0]), int(wanted[1])) != (x, y):
        notes.append(
            f"the header interpolates the image to {wanted[0]:.0f} x {wanted[1]:.0f}; it keeps the "
            f"measured voxels, {x} x {y}"
        )
    return x, y, z


def _noise(
    file: Acquisitions, noise: np.ndarray, imaging: np.ndarray, notes: list[str]
) -> Tensor | None:
    """Samples (coil, n) of noise readouts, scaled to the dwell time of the scan."""
    heads = file.heads
    coils = int(heads["active_channels"][imaging[0]])
    chosen = noise[heads["active_channels"][noise] == coils]
    if len(chosen) == 0:
        notes.append("noise scan left out: it has another number of coils")
        return None
    dwell, scan = heads["sample_time_us"][chosen].astype(float), heads["sample_time_us"][imaging[0]]
    known = _positive(float(scan)) and bool((np.isfinite(dwell) & (dwell > 0)).all())
    ratio = dwell / float(scan) if known else np.ones(len(chosen))
    if bool((ratio != 1).any()):
        times = " to ".join(f"{1 / r:.4g}" for r in dict.fromkeys((ratio.max(), ratio.min())))
        notes.append(f"noise scan of {times} times the bandwidth of the scan: scaled to it")
    factors = np.sqrt(ratio / file.header.noise_bandwidth).astype(np.float32)
    lines = zip(file.samples(chosen), factors, strict=True)
    return torch.from_numpy(np.concatenate([line * factor for line, factor in lines], axis=1))


def _vectors(heads: np.ndarray) -> Vectors | None:
    """Positions and directions of each slice, from its first readout; None where not stated."""
    _, first = np.unique(heads["idx"]["slice"], return_index=True)
    found = {
        name: heads[name][first].astype(np.float64)
        for name in ("position", "read_dir", "phase_dir", "slice_dir")
    }
    lengths = [np.linalg.norm(found[name], axis=1) for name in list(found)[1:]]
    if not all(np.allclose(length, 1, atol=1e-2) for length in lengths):
        return None
    return Vectors(
        position=found["position"],
        read=found["read_dir"],
        phase=found["phase_dir"],
        slice=found["slice_dir"],
    )


def _positive(value: float) -> bool:
    return math.isfinite(value) and value > 0
