"""What the slices of a scan share, decided once: noise, mask, sets of maps, geometry.

fastMRI's files are read by slice: what all share comes from at most eight of them, evenly spaced,
those that the in-process door looks at for the same. Other files and arrays are read as a whole
once, and staged slice by slice for the workers.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.coil_maps import check_heard, is_folded, with_maps
from rimaging.datasets.frames import with_common_maps
from rimaging.datasets.guard import identity
from rimaging.datasets.hdf5 import count_slices, read_hdf5
from rimaging.datasets.kspace_noise import spread
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.open import sniff
from rimaging.datasets.pieces import pieces
from rimaging.datasets.retrospective import sampling
from rimaging.datasets.sampled import find_sampled
from rimaging.datasets.sources import as_measurement
from rimaging.datasets.suspicions import look_over
from rimaging.errors import RimagingError
from rimaging.mosaic.task import pack
from rimaging.mri.scan import Scan
from rimaging.reports.arrays import to_numpy

PARTS = ("data", "noise", "mask", "maps", "trajectory", "density")
COMMON = "common.npz"


@dataclass(frozen=True)
class Front:
    """What is known before the first slice.

    lead: leading axes of k-space. grid: shape of the image of a slice before it is cropped.
    source: where slices are read, for `rimaging.mri.unit.reader`. shared: settings that all slices
    share. provenance, affine: of the whole.
    """

    lead: tuple[int, ...]
    grid: tuple[int, ...]
    source: dict[str, Any]
    shared: dict[str, Any]
    provenance: dict[str, Any]
    affine: np.ndarray | None

    @property
    def count(self) -> int:
        """Slices, frames and whatever else is in front."""
        return math.prod(self.lead)

    @property
    def whole(self) -> Measurement:
        """A stand-in for the measurement: its geometry and provenance, and no values."""
        shape = (*self.lead, *self.grid[:-2], 1, *self.grid[-2:])
        return Measurement(
            kind="kspace",
            data=torch.zeros((), dtype=torch.complex64).expand(shape),
            affine=self.affine,
            provenance=self.provenance,
        )


def front_of(scan: Scan, folder: Path) -> Front:
    """The front of a scan; what must be staged goes to ``folder``.

    Raises as `rimaging.mri.reconstruct` for what it says of the whole; what is wrong with one
    slice is found with that slice.
    """
    found = _by_slice(scan)
    return _staged(scan, folder) if found is None else found


def _by_slice(scan: Scan) -> Front | None:
    """The front of a fastMRI file, or None where it takes all slices together."""
    path, mask = scan.path, None if scan.mask is None else to_tensor(scan.mask, "mask")
    plain = not scan.frames and scan.maps is None and (mask is None or mask.ndim <= 2)
    if path is None or not plain or not isinstance(scan.noise, float | int | None):
        return None
    if sniff(path) != "hdf5":
        return None
    count = count_slices(path)
    sample = _sample(path, count)
    if sample is None or look_over(sample) is not sample:
        return None
    given = mask if mask is not None else sample.mask
    sample = replace(sample, mask=given, noise=None if scan.noise is None else float(scan.noise))
    whole = sampling(sample.completed())
    assert whole.mask is not None
    if given is None:
        # zeros are told from gaps by their share: of the scan here, of a slice in its worker
        alone = torch.stack([find_sampled(item, None)[0] for item in sample.data])
        if not torch.equal(alone, whole.mask.expand(alone.shape)):
            return None
    return Front(
        lead=(count,),
        grid=tuple(sample.data.shape[-2:]),
        source={"kind": "hdf5", "path": str(path)},
        shared={
            "mask": None if given is None else pack(to_numpy(given)),
            "noise": whole.noise,
            "sets": scan.sets,
            "folded": _folded(whole, scan),
            "matrix": None,
        },
        provenance=_plain(whole.provenance | {"sha256": identity(path)}),
        affine=sample.affine,
    )


def _sample(path: Path, count: int) -> Measurement | None:
    """The slices that stand for a volume, of them what can be read; None where they differ."""
    found: list[Measurement] = []
    affine: np.ndarray | None = None
    failure: RimagingError | None = None
    for place in spread(count):
        try:
            found.append(read_hdf5(path, slice(place, place + 1)))
        except RimagingError as error:  # its worker will find the same
            failure = error
            continue
        affine = found[-1].affine
        if affine is not None:
            affine = affine.copy()
            affine[:3, 3] -= place * affine[:3, 2]
    if not found:
        assert failure is not None
        raise failure
    first = found[0]
    for other in found[1:]:
        same = (first.mask is None) == (other.mask is None)
        same = same and (first.mask is None or torch.equal(first.mask, other.mask))  # type: ignore[arg-type]
        if not same or first.provenance != other.provenance:
            return None
    return replace(first, data=torch.cat([item.data for item in found]), affine=affine)


def _folded(measurement: Measurement, scan: Scan) -> bool | None:
    """Whether it takes two sets of maps, where neither the user nor maps say it."""
    volume = measurement.matrix is not None and len(measurement.matrix) > 2
    if scan.sets is not None or measurement.maps is not None or volume:
        return None
    return measurement.data.shape[-3] > 1 and is_folded(measurement, calibration=scan.calibration)


def _staged(scan: Scan, folder: Path) -> Front:
    measurement = as_measurement(
        scan.kspace, "kspace", noise=scan.noise, mask=scan.mask, maps=scan.maps
    )
    whole = sampling(measurement.completed())
    sets = scan.sets
    if scan.frames:
        whole, sets = with_common_maps(whole, sets=sets, calibration=scan.calibration)
    elif whole.maps is not None:
        sets = with_maps(whole, sets=sets)[1]
    check_heard(whole)
    folded = _folded(whole, scan)
    lead = tuple(whole.data.shape[:-3])
    _stage(whole, folder, sets=sets == 2 and whole.maps is not None)
    return Front(
        lead=lead,
        grid=tuple(whole.image_shape[len(lead) :]),
        source={"kind": "staged", "path": str(folder.resolve())},
        shared={
            "mask": None,
            "noise": None,
            "sets": sets,
            "folded": folded,
            "matrix": None if whole.matrix is None else list(whole.matrix),
        },
        provenance=_plain(whole.provenance),
        affine=whole.affine,
    )


def _stage(whole: Measurement, folder: Path, *, sets: bool) -> None:
    """Write a file for each slice, and one for what all share."""
    folder.mkdir(parents=True, exist_ok=True)
    items = pieces(whole, 1, sets=sets)
    first = next(items)
    second = next(items, None)
    shared = {name for name in PARTS if second is None or _same(first, second, name)} - {"data"}
    _save(folder / COMMON, {name: getattr(first, name) for name in shared})
    own = [name for name in PARTS if name not in shared and name != "data"]
    for place, item in enumerate(pieces(whole, 1, sets=sets)):
        _save(folder / item_name(place, "data"), {"data": item.data})
        _save(folder / item_name(place, "own"), {name: getattr(item, name) for name in own})


def item_name(place: int, what: str) -> str:
    """The file of a staged slice: its "data", or what else is its "own"."""
    return f"{place:06d}-{what}.npz"


def _same(first: Measurement, second: Measurement, name: str) -> bool:
    """Whether two slices have a part in common: the same memory, or no tensor at all."""
    one, other = getattr(first, name), getattr(second, name)
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and one.data_ptr() == other.data_ptr()
    return bool(one == other)


def _save(path: Path, parts: dict[str, Any]) -> None:
    arrays: dict[str, Any] = {
        name: to_numpy(value) if isinstance(value, Tensor) else np.float64(value)
        for name, value in parts.items()
        if value is not None
    }
    if not arrays:
        return
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _plain(provenance: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from JSON, so that a resumed run says the same."""
    found: dict[str, Any] = json.loads(json.dumps(provenance, default=str))
    return found
