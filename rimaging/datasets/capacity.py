"""What the format of an output cannot hold, refused before anything is computed."""

from __future__ import annotations

import math
import os
from pathlib import Path

from rimaging.datasets.bart import SUFFIXES as PAIR
from rimaging.datasets.bart import check_dimensions
from rimaging.datasets.folder import is_folder
from rimaging.datasets.geometry import check_positions
from rimaging.datasets.lead_axes import VOLUMES, lead_names
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.nifti import check_sizes
from rimaging.errors import FormatError

__all__ = ["check_capacity", "check_place"]


def check_capacity(
    path: str | Path, measurement: Measurement, *, like: str | Path | None = None
) -> None:
    """Refuse a file that cannot hold the images of a measurement, by its suffix alone.

    A .png holds one slice, a .cfl the axes that BART has a dimension for, NIfTI seven axes, DICOM
    (a path that ends with /) what says where it lies, itself or by the series it is ``like``.

    Raises FormatError that names a format for it.
    """
    name, shape = str(path).lower(), measurement.image_shape
    if is_folder(path):
        if like is None:
            check_positions(measurement)
    elif name.endswith(".png"):
        count = math.prod(shape[:-2])
        if count > 1:
            raise FormatError(
                f"{Path(path).name!r} holds one slice, the scan has {count}: write .nii.gz, "
                ".h5, or .tif with a page for each."
            )
    elif name.endswith(".cfl"):
        check_dimensions(shape, lead_names(measurement))
    elif name.endswith(VOLUMES):
        check_sizes(shape)


def check_place(path: str | Path, *, overwrite: bool = False) -> None:
    """Refuse a folder that takes no files, and the .hdr that a .cfl would replace.

    Raises FormatError.
    """
    place = Path(path).expanduser()
    if not os.access(place.parent, os.W_OK | os.X_OK):
        raise FormatError(
            f"the folder of {place.name!r} cannot be written: choose another one, or its rights."
        )
    if place.name.lower().endswith(".cfl") and not overwrite:
        for half in (place.with_suffix(suffix) for suffix in PAIR):
            if half.exists():
                raise FormatError(
                    f"{half.name!r} exists: choose another name, or give --overwrite "
                    "(overwrite=True)."
                )
