"""DICOM MR images, written: a folder with one file for each slice and frame."""

from __future__ import annotations

from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rimaging.datasets.dicom_header import blank_header, image_header, place, scale_of
from rimaging.datasets.dicom_match import matched
from rimaging.datasets.dicom_series import Series, no_value_quoted, read_series
from rimaging.datasets.geometry import image_planes
from rimaging.errors import DataError, FormatError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["write_dicom"]

LONGEST = 1024
"""Characters of a short text (ST)."""


def write_dicom(
    folder: Path,
    image: np.ndarray,
    affine: np.ndarray | None,
    *,
    scanner: bool,
    like: str | Path | None = None,
    description: str = "",
    thickness: float | None = None,
    patient_position: str = "",
) -> None:
    """Write real images (..., slice, y, x) as DICOM files into a folder that exists.

    With ``like``, a folder of one series of the same scan, everything but the pixels comes from it:
    patient, study, frame of reference, geometry, acquisition; the image is turned to lie as it does
    (`rimaging.datasets.dicom_match.matched`). Without, the geometry is that of the affine, and the
    patient is nobody; ``thickness`` of the slices (mm; else they touch) and ``patient_position``
    (HFS, ...) are then what the scan states. UIDs are new. One factor brings all values to 15 bits:
    1, 2 or 5 times a power of ten, which DerivationDescription and the real world value mapping
    state.

    Raises FormatError where pydicom is absent or neither positions (``scanner``) nor ``like`` say
    where the slices lie, DataError for an image that does not fit the series.
    """
    try:
        from pydicom.uid import generate_uid
    except ImportError:
        raise FormatError("DICOM needs pydicom, which is not here: pip install pydicom.") from None
    if not np.isfinite(image).all():
        raise DataError("the image has NaN or infinite values, expected none: DICOM holds integers")
    frames = image.reshape(-1, *(1,) * (3 - image.ndim), *image.shape[-3:])
    notes = [description] if description else []
    if like is not None:
        series = read_series(like)
        frames, note = matched(series, frames, affine, scanner=scanner)
        notes.append(note)
        planes, headers = series.planes, _headers(series, len(frames))
    elif affine is None or not scanner:
        raise FormatError(
            "the scan states no slice positions, and DICOM cannot do without: give like=, a series "
            "of this scan, or save as .nii.gz."
        )
    else:
        planes = image_planes(affine, frames.shape[1])
        blank = blank_header(
            planes.slice_spacing if thickness is None else thickness, patient_position
        )
        headers = [[blank] * frames.shape[1]] * len(frames)
    scale = scale_of(frames)
    said = f"stored values are {scale.factor:g} times those of the reconstruction"
    before = "; ".join([*notes, ""]).encode("ascii", "replace").decode()
    text = before[: LONGEST - len(said)] + said
    uid, now = generate_uid(prefix=None), datetime.now()
    for frame, slices in enumerate(frames):
        for index, picture in enumerate(slices):
            number = frame * len(slices) + index + 1
            with no_value_quoted(
                "a header of the DICOM series breaks the standard and cannot be written again: "
                "repair the series, or save without like=."
            ):
                header = image_header(headers[frame][index], picture, scale, text, now)
                place(header, planes, index, frame, len(frames))
                header.SeriesInstanceUID = uid
                header.InstanceNumber = number
                content = _file(header)
            (folder / f"image{number:05d}.dcm").write_bytes(content)


def _headers(series: Series, frames: int) -> list[list[Dataset]]:
    """Headers [frame][slice] of the series to be like."""
    images = len(series.headers[0])
    if images not in (1, frames):
        raise DataError(
            f"the DICOM series has {images} images of each slice, the reconstruction {frames}: "
            "give the series of one echo, phase or repetition."
        )
    return [
        [slices[frame if images > 1 else 0] for slices in series.headers] for frame in range(frames)
    ]


def _file(header: Dataset) -> bytes:
    """The file in memory: so an OSError of pydicom, with a value in it, is not the disk's."""
    import pydicom
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    content = BytesIO()
    pydicom.dcmwrite(content, header, enforce_file_format=True)
    return content.getvalue()
