"""What a file format cannot hold of a reconstruction, in words, and where its error goes then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from rimaging.datasets.folder import is_folder
from rimaging.datasets.geometry import image_affine, is_sheared
from rimaging.datasets.measurement import Measurement
from rimaging.errors import FormatError

__all__ = ["error_file", "losses"]

HOLDS_COMPLEX = (".npz", ".npy", ".h5", ".cfl")
HOLDS_UNCERTAINTY = (".npz", ".h5", ".fits")
HOLDS_GEOMETRY = (".nii", ".nii.gz", ".h5")


def losses(
    path: str | Path, image: Tensor | np.ndarray, measurement: Measurement | None = None
) -> list[str]:
    """What of an image (..., y, x) of k-space will not be in a file, one line each.

    Empty where nothing is lost. A path that ends with / is a DICOM folder.
    """
    name = str(path).lower()
    dicom = is_folder(path)
    lost = []
    complex_valued = image.is_complex() if isinstance(image, Tensor) else np.iscomplexobj(image)
    if complex_valued and not name.endswith(HOLDS_COMPLEX):
        lost.append("magnitude only: the phase is in .npz, .h5 and .cfl")
    if dicom:
        lost.append("15 bits for each value, with one slope: more are in .nii.gz and .h5")
    affine, scanner = image_affine(measurement, tuple(image.shape))
    if affine is not None and not dicom:
        if not name.endswith(HOLDS_GEOMETRY):
            lost.append("no geometry: that is in .nii.gz, .h5 and DICOM")
        elif not scanner:
            lost.append("voxel sizes only: the scan states no slice positions")
        elif is_sheared(affine) and not name.endswith(".h5"):
            lost.append("the axes are not perpendicular: an sform holds that, a qform does not")
    elif affine is None and name.endswith(HOLDS_GEOMETRY):
        lost.append("no geometry: the scan states none")
    return lost


def error_file(output: str | Path) -> Path | None:
    """Where an error map goes: ``NAME_error.nii.gz`` beside NIfTI; None: into the output itself.

    Raises FormatError for a format that has no place for it.
    """
    name = str(output)
    if name.lower().endswith(HOLDS_UNCERTAINTY):
        return None
    for suffix in (".nii.gz", ".nii"):
        if name.lower().endswith(suffix):
            stem = name[: -len(suffix)]
            return Path(f"{stem}_error{name[len(stem) :]}").expanduser()
    raise FormatError(
        f"{Path(name).name!r} holds no error map: write .fits, .h5, .npz, or .nii.gz (a second "
        "file), or leave out --error-map"
    )
