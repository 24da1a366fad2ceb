"""Siemens raw data (twix, .dat) through pymapvbvd, as a measurement.

The readout runs along y, phase encoding along x. Siemens' transform from k-space to image has the
other sign: k-space is conjugated. Positions and directions of slices are not read.
"""

# mypy: disable-error-code="import-untyped"
# (mapvbvd has no types)

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rimaging.datasets.guard import existing_file, identity
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.readouts import Grid, Readouts, onto_grid
from rimaging.datasets.scanner import scan_measurement
from rimaging.errors import FormatError

__all__ = ["is_twix", "read_twix"]

OVERSAMPLING = 2
"""Of the readout, as Siemens scanners measure Cartesian scans."""

NAMES = {"repetition": "Rep", "set": "Set", "phase": "Phs", "contrast": "Eco", "slice": "Sli"}


def is_twix(path: Path) -> bool:
    """Whether a file ends with .dat and begins as software VB, VD, VE or XA writes it."""
    if path.suffix.lower() != ".dat":
        return False
    with path.open("rb") as file:
        head = file.read(8)
    if len(head) < 8:
        return False
    first, second = (int(word) for word in struct.unpack("<II", head))
    if not 1 <= second <= 64:
        return False
    # VD: zero or an identifier, then the number of scans; VB: the length of the header
    return first < 10000 or first < path.stat().st_size


def read_twix(path: str | Path) -> Measurement:
    """Read the last scan of a file: k-space (..., slice, coil, y, x), the readout along y.

    As `rimaging.datasets.ismrmrd.read_ismrmrd`: noise whitens the coils, separate reference lines
    give coil maps, the oversampling of the readout is removed. Zero frequency comes to the middle
    of a matrix as large as the lines around it need.

    Raises FormatError where the package pymapvbvd is absent, for damaged files, and for files
    without an image.
    """
    path = existing_file(path)
    try:
        from mapvbvd import mapVBVD
    except ImportError as absent:
        raise FormatError(
            "Siemens twix files are read with pymapvbvd, which is absent: "
            "pip install 'rimaging[twix]'."
        ) from absent
    try:
        scans = mapVBVD(str(path), quiet=True)
        found = scan_of(scans if isinstance(scans, list) else [scans], path.stat().st_size)
    except (OSError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError) as e:
        # their text may quote the header, and the header names the patient
        raise FormatError(
            f"the twix file is damaged, or its software version is unknown ({type(e).__name__}): "
            "convert it with siemens_to_ismrmrd."
        ) from None
    provenance = {**found.provenance, "format": "Siemens twix", "sha256": identity(path)}
    return replace(found, provenance=provenance)


def scan_of(scans: list[Any], stored: int) -> Measurement:
    """The measurement of the scans of a file, as `mapvbvd.mapVBVD` gives them.

    The last with an image is read; noise may be in any. ``stored`` is the size of the file.
    """
    images = [scan for scan in scans if _has(scan, "image")]
    if not images:
        raise FormatError("the twix file has no image data, expected a scan: export it again.")
    scan = images[-1]
    image = scan["image"]
    imaging = _readouts(image)
    notes = ["k-space conjugated, for Siemens' sign of the Fourier transform"]
    matrix = _matrix(imaging)
    grid = _grid(image, imaging, matrix, stored)
    reference = None
    if _has(scan, "refscan"):
        lines = _readouts(scan["refscan"])
        same = set(lines.counters["slice"].tolist()) == set(imaging.counters["slice"].tolist())
        if not bool(np.isin(lines.line, imaging.line).all()):
            notes.append("reference lines were kept for the coil maps, not put into k-space")
        if same:
            zero = np.zeros_like(lines.line)
            counters = {k: v if k == "slice" else zero for k, v in lines.counters.items()}
            fields = {**vars(lines), "counters": counters}
            reference = _grid(scan["refscan"], Readouts(**fields), matrix, stored)
    noise = next((s["noise"] for s in scans if _has(s, "noise")), None)
    samples = None
    if noise is not None:
        values = _samples(noise)  # (n, coil, sample)
        samples = torch.from_numpy(np.ascontiguousarray(values.swapaxes(0, 1))).flatten(1)
    if _has(scan, "phasecor"):
        notes.append("echo-planar phase is not corrected: expect ghosts at half the field of view")
    return scan_measurement(
        Grid(kspace=grid.kspace, count=grid.count, notes=[*notes, *grid.notes]),
        keep=(matrix[0] // OVERSAMPLING, matrix[1], matrix[2]),
        voxel_mm=None,
        vectors=None,
        noise=samples,
        calibration=reference,
        provenance={
            "trajectory": "cartesian",
            "matrix": list(matrix),
            "noise_scans": 0 if noise is None else int(noise.NAcq),
            "geometry": "positions and voxel sizes are not read from twix files",
        },
    )


def _has(scan: Any, name: str) -> bool:
    return name in scan and scan[name] is not None and int(scan[name].NAcq) > 0


def _samples(lines: Any) -> np.ndarray:
    """Readouts (n, coil, sample) of one kind, conjugated; reversed ones come turned round."""
    lines.flagRemoveOS = False
    values = np.asarray(lines.unsorted())  # (sample, coil, n)
    return np.ascontiguousarray(values.transpose(2, 1, 0).conj().astype(np.complex64))


def _readouts(lines: Any) -> Readouts:
    """Where the readouts of one kind belong."""

    def whole(name: str) -> np.ndarray:
        return np.asarray(getattr(lines, name)).astype(np.int64).reshape(-1)

    length = np.broadcast_to(whole("NCol"), whole("Lin").shape)
    cut = np.asarray(lines.cutOff).astype(np.int64).reshape(len(length), -1)
    turned = np.asarray(lines.IsReflected).astype(bool).reshape(-1)
    before, after = cut[:, 0], cut[:, -1]
    return Readouts(
        line=whole("Lin") - whole("centerLin"),
        partition=whole("Par") - whole("centerPar"),
        centre=whole("centerCol"),
        length=length,
        first=np.where(turned, after, before),
        last=length - np.where(turned, before, after),
        counters={name: whole(theirs) for name, theirs in NAMES.items()},
    )


def _matrix(readouts: Readouts) -> tuple[int, int, int]:
    """The smallest even matrix (x, y, z) with zero frequency in its middle, 1 where one will do."""
    before, after = readouts.centre, readouts.length - readouts.centre
    width = 2 * int(max(before.max(), after.max()))
    sizes = []
    for index in (readouts.line, readouts.partition):
        reach = max(-int(index.min()), int(index.max()) + 1)
        sizes.append(1 if not index.any() else 2 * reach)
    return width, sizes[0], sizes[1]


def _grid(lines: Any, readouts: Readouts, matrix: tuple[int, int, int], stored: int) -> Grid:
    samples = _samples(lines)
    return onto_grid(
        readouts, samples, coils=samples.shape[1], matrix=matrix, centre=(0, 0), stored=stored
    )
