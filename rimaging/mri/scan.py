"""A scan to reconstruct slice by slice: what is asked, in values that travel and compare."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from rimaging.datasets.sources import Array, Source
from rimaging.errors import OptionError
from rimaging.mosaic.sources import file_identity
from rimaging.mosaic.task import digest
from rimaging.mri.door import check_learned
from rimaging.mri.methods import MethodName, check_options
from rimaging.reports.arrays import to_numpy
from rimaging.rim.rim import RIM
from rimaging.rim.weights import SHIPPED, file_sha256
from rimaging.uncertainty import Learned, as_error_map


@dataclass(frozen=True, kw_only=True)
class Scan:
    """K-space and how to reconstruct it, as `rimaging.mri.reconstruct` has it.

    kspace: a path, a `Measurement` or an array ``(..., coil, y, x)``. weights: a name or a path,
    which the workers can read as well. error_map: with a fixed seed, if it is a number.

    Raises OptionError as `rimaging.mri.reconstruct`, and for weights in memory.
    """

    kspace: Source
    mask: Array | None = None
    maps: Array | None = None
    noise: float | Array | None = None
    weights: str | Path = "mri"
    method: MethodName = "rim"
    sets: int | None = None
    calibration: int = 24
    frames: bool = False
    crop: bool = True
    steps: int | None = None
    lamda: float | None = None
    iterations: int | None = None
    ensemble: bool = False
    add_residual: bool = False
    error_map: int | Learned | None = None

    def __post_init__(self) -> None:
        check_options(
            self.method, self.sets, self.steps, self.lamda, self.iterations, self.ensemble
        )
        if isinstance(self.weights, RIM):
            raise OptionError("workers load weights themselves: give a name or a path, not a RIM")
        as_error_map(self.error_map)
        if self.error_map == "learned":
            place = torch.device("cpu")
            check_learned(self.method, self.weights_path, place, self.add_residual)

    @property
    def path(self) -> Path | None:
        """The file of k-space, if it is one; of BART's pair the one with the values."""
        if not isinstance(self.kspace, str | Path):
            return None
        path = Path(self.kspace).expanduser().resolve()
        return path.with_suffix(".cfl") if path.suffix == ".hdr" else path

    @property
    def weights_path(self) -> Path:
        """Where the weights lie."""
        shipped = SHIPPED / f"{self.weights}.safetensors"
        return shipped if shipped.is_file() else Path(self.weights).expanduser().resolve()

    def identity(self) -> dict[str, Any]:
        """What tells k-space from other k-space. Not its name, which may be a person's."""
        if self.path is None:
            return {"values": _told(getattr(self.kspace, "data", self.kspace))}
        return {name: value for name, value in file_identity(self.path).items() if name != "file"}

    def asked(self) -> dict[str, Any]:
        """What was asked for, in values that a later call can be compared with."""
        names = [field.name for field in fields(self) if field.name != "kspace"]
        asked = {name: _told(getattr(self, name)) for name in names}
        if self.method == "rim":
            asked["weights"] = file_sha256(self.weights_path)
        return asked


def _told(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Path):
        return str(value)
    array = to_numpy(value)
    return digest(f"{array.dtype}{array.shape}{array.tobytes().hex()}")
