"""NIfTI volumes, written with their geometry, and read."""

# mypy: disable-error-code="no-untyped-call"
# (nibabel has no types)

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rimaging.datasets.arrays import fill_invalid, to_tensor
from rimaging.datasets.geometry import is_sheared
from rimaging.datasets.guard import check_declared, existing_file, expanded, identity
from rimaging.datasets.measurement import Measurement
from rimaging.errors import FormatError

__all__ = ["check_sizes", "read_nifti", "write_nifti"]

IN_MM = {"meter": 1000.0, "micron": 0.001}
"""Units of length of a file, other than mm."""


def read_nifti(path: str | Path) -> Measurement:
    """Read a volume as images (slice, y, x) with its affine and nothing else of its header.

    The array of the file is (x, y, slice, ...); its axes are turned round. Where its coordinates
    are not those of the scanner (code 1), ``provenance["geometry"]`` says so.
    Raises FormatError for damaged files and for shapes beyond what is stored.
    """
    import nibabel

    path = existing_file(path)
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    raw = expanded(path).getvalue() if packed else path.read_bytes()
    try:
        header = nibabel.Nifti1Header(raw[:348], check=True)
        shape = header.get_data_shape()
        declared = int(np.prod(shape, dtype=object)) * header.get_data_dtype().itemsize
        check_declared(declared, len(raw), "the NIfTI file")
        if declared > len(raw) - int(header["vox_offset"]):
            raise FormatError(
                f"the NIfTI file declares {declared} bytes and {len(raw)} are there: truncated."
            )
        image = nibabel.Nifti1Image.from_bytes(raw)
        array = np.asarray(image.dataobj)
        affine = np.asarray(image.affine, dtype=np.float64)
        affine[:3] *= IN_MM.get(image.header.get_xyzt_units()[0], 1.0)
        code = int(image.header["sform_code"]) or int(image.header["qform_code"])
    except FormatError:
        raise
    except Exception as error:  # nibabel raises many kinds
        raise FormatError("the NIfTI file is damaged or not NIfTI-1: export it again.") from error
    if array.ndim < 2:
        raise FormatError(f"the NIfTI file has shape {array.shape}, expected (x, y, ...).")
    data, mask, filled = fill_invalid(to_tensor(np.transpose(array), "volume"))
    provenance: dict[str, Any] = {"format": "NIfTI", "sha256": identity(path)}
    if code != 1:
        provenance["geometry"] = (
            f"coordinates of code {code}, not the scanner's" if code else "voxel sizes only"
        )
    if filled is not None:
        count = int(filled.sum())
        provenance["assumed"] = [f"{count} NaN voxels masked and filled with the median"]
    return Measurement(
        kind="image",
        data=data,
        mask=mask,
        filled=filled,
        affine=affine,
        provenance=provenance,
    )


def check_sizes(shape: Sequence[int]) -> None:
    """Refuse images (..., y, x) that a NIfTI-1 file does not count, by FormatError."""
    if len(shape) > 7 or max(shape) > 32767:
        raise FormatError(
            f"the volume has shape {tuple(shape)[::-1]}, a NIfTI-1 file holds 7 axes of at most "
            "32767: save parts of it, or as .h5."
        )


def write_nifti(
    path: Path, array: np.ndarray, affine: np.ndarray | None, *, scanner: bool, description: str
) -> None:
    """Write images (..., y, x) as a NIfTI volume (x, y, ...) in millimetres.

    The affine goes into sform and qform: code 1 (scanner) where positions are known, 2 (aligned)
    where only voxel sizes are. Without an affine both have code 0 and the units stay unknown. A
    qform is a rotation: where the axes are not perpendicular it has code 0. Leading axes of more
    than slices are those that follow z: time, which has no unit, as no reader states one.

    Raises FormatError for more than 7 axes and axes of more than 32767.
    """
    import nibabel

    volume = np.transpose(array)
    if volume.ndim == 2:
        volume = volume[:, :, None]
    check_sizes(array.shape)
    image = nibabel.Nifti1Image(volume, np.eye(4) if affine is None else affine)
    if affine is None:
        image.set_sform(None, code=0)
        image.set_qform(None, code=0)
    else:
        code = 1 if scanner else 2
        image.set_sform(affine, code=code)
        image.set_qform(affine, code=0 if is_sheared(affine) else code)
        image.header.set_xyzt_units(xyz="mm")
    image.header["descrip"] = description.encode()[:79]
    raw = image.to_bytes()
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(raw, mtime=0))
    else:
        path.write_bytes(raw)
