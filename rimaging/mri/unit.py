"""One slice or frame in a worker: read by itself, reconstructed as in the door."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.coil_maps import with_maps
from rimaging.datasets.hdf5 import read_kspace
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.npz import load_arrays
from rimaging.errors import WeightsError
from rimaging.method import Method, choose_device, rim_method
from rimaging.mosaic.folder import write_whole
from rimaging.mosaic.sources import Slices
from rimaging.mosaic.task import Process, unpack
from rimaging.mosaic.tiles import Unit
from rimaging.mri.door import finisher, learned_error, noted
from rimaging.mri.front import COMMON, item_name
from rimaging.mri.methods import classical
from rimaging.reconstruct import run

PLANES = ("real", "imaginary")
ERROR = "uncertainty"
"""The plane of errors, where they are asked for."""


def reader(settings: dict[str, Any]) -> Callable[[Slices], NDArray[np.float32]]:
    """The source of a run: a function of a block that gives the k-space of its slice.

    settings: ``kind``, "hdf5" of a fastMRI file or "staged" of a folder of slices, and its
    ``path``. K-space comes as float32 ``(slice, coil, y, x, 2)``, for the blocks of a mosaic are
    real.
    """

    def read(block: Slices) -> NDArray[np.float32]:
        channel = block[0]
        if settings["kind"] == "hdf5":
            kspace = read_kspace(settings["path"], channel)
        else:
            path = Path(settings["path"]) / item_name(channel.start, "data")
            kspace = to_tensor(load_arrays(path)["data"], "k-space")
        return torch.view_as_real(kspace.to(torch.complex64)).numpy()

    return read


def slice_process(settings: dict[str, Any]) -> Process:
    """The function of a run's task: see `SliceProcess`."""
    return SliceProcess(settings)


class SliceProcess:
    """Reconstructs slices: ``process(kspace, unit)`` gives `PLANES`, and perhaps `ERROR`.

    settings: of `rimaging.mri.front.Front` (``source``, ``shared``), of `Scan`, ``size`` to crop to
    or None, ``facts``: the ``path`` of a folder to which goes what is said of each slice.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.device = choose_device(None)
        self.common: dict[str, Any] = {}
        if settings["source"]["kind"] == "staged":
            self.common = _loaded(Path(settings["source"]["path"]) / COMMON)

    def __call__(self, block: NDArray[Any], unit: Unit) -> dict[str, NDArray[Any]]:
        """The planes of the image of a slice."""
        place = unit.core[0].start
        measurement = self.measurement(block, place)
        before = len(measurement.provenance.get("assumed", []))
        shared = self.settings["shared"]
        measurement, count = with_maps(
            measurement,
            sets=shared["sets"],
            calibration=self.settings["calibration"],
            folded=shared["folded"],
        )
        method, kept = self.method(count > 1), self.settings["add_residual"]
        result = run(
            measurement,
            noted(method, {"add_residual": True}) if kept else method,
            sets=count > 1,
            finish=finisher(count, self.settings["size"], kept),
            learned_error=learned_error(count, self.settings["size"]),
            device=self.device,
            error_map=self.settings["error_map"],
            first=place,
        )
        facts = {
            "chi2": result.chi2,
            "samples": result.diagnostics.samples,
            "maps": measurement.provenance.get("assumed", [])[before:],
            "provenance": {
                name: value
                for name, value in result.provenance.items()
                if name not in ("seconds", "assumed", "input")
            },
        }
        write_whole(
            facts_file(self.settings["facts"]["path"], place), json.dumps(facts, default=str)
        )
        image = to_tensor(result.image).to(torch.complex64).cpu().numpy().reshape(unit.shape)
        planes = {"real": image.real.copy(), "imaginary": image.imag.copy()}
        if result.uncertainty is not None:
            planes[ERROR] = to_tensor(result.uncertainty).float().cpu().numpy().reshape(unit.shape)
        return planes

    def measurement(self, block: NDArray[Any], place: int) -> Measurement:
        """The measurement of a slice, completed by what the whole decided."""
        shared = self.settings["shared"]
        kspace = torch.view_as_complex(torch.from_numpy(np.ascontiguousarray(block)))
        if self.settings["source"]["kind"] == "hdf5":
            mask = shared["mask"]
            return Measurement(
                kind="kspace",
                data=kspace,
                mask=None if mask is None else to_tensor(unpack(mask), "mask"),
                noise=shared["noise"],
            ).completed()
        folder = Path(self.settings["source"]["path"])
        parts: dict[str, Any] = {
            name: float(values) if values.ndim == 0 else to_tensor(values, name)
            for name, values in (self.common | _loaded(folder / item_name(place, "own"))).items()
        }
        matrix = shared["matrix"]
        return Measurement(
            kind="kspace", data=kspace, matrix=None if matrix is None else tuple(matrix), **parts
        ).completed()

    def method(self, sets: bool) -> Method:
        """The method, with the very weights that the run began with."""
        settings = self.settings
        if settings["method"] != "rim":
            return classical(settings["method"], settings["lamda"], settings["iterations"], sets)
        method = rim_method(
            settings["weights"], settings["steps"], self.device, settings["ensemble"]
        )
        if method.provenance["weights"]["sha256"] != settings["sha256"]:
            raise WeightsError("the weights are not those that the run began with: restore them")
        return method


def facts_file(folder: str | Path, place: int) -> Path:
    """Where it is said what came of a slice."""
    return Path(folder) / f"{place:06d}.json"


def _loaded(path: Path) -> dict[str, Any]:
    """The arrays of a file, none where it was not needed."""
    return load_arrays(path) if path.exists() else {}
