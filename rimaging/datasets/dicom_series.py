"""A DICOM series of MR images as a model for another: its headers and planes.

What its headers say of a patient goes into the files derived from them and nowhere else: no error,
warning or log line of this module quotes a value or the name of a file.
"""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rimaging.datasets.geometry import ImagePlanes
from rimaging.errors import DataError, FormatError, RimagingError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["MR_IMAGE_STORAGE", "Series", "no_value_quoted", "quiet_pydicom", "read_series"]

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED = "1.2.840.10008.5.1.4.1.1.4.1"

SAME_PLACE = 0.01
"""Millimetres along the normal within which two images show the same slice."""


DAMAGED = "a file of the DICOM series is damaged or truncated: fetch the series again."

PLACE = (
    "SeriesInstanceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "Rows",
    "Columns",
    "PixelSpacing",
)
"""What the headers must state."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """The images of one series, sorted: ``headers[slice][image]``, and the files they are from.

    Slices go along the normal, in the direction in which the series numbers them.
    """

    headers: list[list[Dataset]]
    files: list[list[Path]]
    planes: ImagePlanes

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slice, y, x)."""
        first = self.headers[0][0]
        return len(self.headers), int(first.Rows), int(first.Columns)

    def pixels(self) -> np.ndarray:
        """The first picture of each slice (slice, y, x).

        Raises FormatError where they are compressed in a way that pydicom cannot read here.
        """
        import pydicom

        pictures = []
        for files in self.files:
            with no_value_quoted(
                "the pictures of the series cannot be decoded: pip install pylibjpeg "
                "pylibjpeg-libjpeg pylibjpeg-openjpeg, or expand them with dcmdjpeg."
            ):
                header = pydicom.dcmread(files[0])
                picture = header.pixel_array.astype(np.float32)
                pictures.append(picture * float(header.get("RescaleSlope", None) or 1))
        return np.stack(pictures)


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Silence pydicom, whose warnings and log lines quote the values of headers."""
    logger = logging.getLogger("pydicom")
    disabled = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = disabled


@contextmanager
def no_value_quoted(instead: str) -> Iterator[None]:
    """Raise FormatError with these words in place of what pydicom raises, which quotes values."""
    with quiet_pydicom():
        try:
            yield
        except RimagingError:
            raise
        except _pydicom_errors():
            raise FormatError(instead) from None


def _pydicom_errors() -> tuple[type[Exception], ...]:
    """What pydicom raises on headers and pixels that break the standard.

    It re-raises what its converters meet: a number of a wrong form or length, a value that is none,
    a character set unknown or not kept to, a stream that ends or does not inflate. Its writer makes
    OSError of them, its decoders RuntimeError.
    """
    from pydicom.errors import BytesLengthException

    return (
        *(BytesLengthException, struct.error, zlib.error),
        *(ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError),
        *(TypeError, ValueError),
    )


def read_series(source: str | Path) -> Series:
    """Read the headers of a folder of DICOM MR images, or of one file.

    Files that are not DICOM, and DICOMDIR, are passed over.

    Raises FormatError where pydicom is absent, where there is no MR image or more than one series,
    where images are multi-frame or damaged, DataError for slices that are not parallel or not
    equally often there.
    """
    try:
        import pydicom
    except ImportError:
        raise FormatError("DICOM needs pydicom, which is not here: pip install pydicom.") from None
    source = Path(source).expanduser()
    if not source.exists():
        raise FormatError("the DICOM series to be like does not exist: check its path.")
    found: list[tuple[Dataset, Path]] = []
    for file in sorted(source.iterdir()) if source.is_dir() else [source]:
        if not file.is_file():
            continue
        try:
            with no_value_quoted(DAMAGED):
                header = pydicom.dcmread(file, stop_before_pixels=True)
                header.decode()
                kind = header.file_meta.get("MediaStorageSOPClassUID", header.get("SOPClassUID"))
        except pydicom.errors.InvalidDicomError:
            continue
        if "ImagePositionPatient" in header or kind in (MR_IMAGE_STORAGE, ENHANCED):
            found.append((header, file))
    with no_value_quoted(DAMAGED):
        return _sorted(found)


def _sorted(found: list[tuple[Dataset, Path]]) -> Series:
    _check([header for header, _ in found])
    try:
        first = found[0][0]
        orientation = tuple(float(value) for value in first.ImageOrientationPatient)
        y, x = (float(value) for value in first.PixelSpacing)
        normal = np.cross(orientation[:3], orientation[3:])
        positions = np.array([header.ImagePositionPatient for header, _ in found], dtype=float)
        turned = max(
            float(np.abs(np.array(header.ImageOrientationPatient, float) - orientation).max())
            for header, _ in found
        )
        sizes = {(int(h.Rows), int(h.Columns), tuple(h.PixelSpacing)) for h, _ in found}
    except (AttributeError, TypeError, ValueError, IndexError):
        raise FormatError(
            "an image of the DICOM series states no numbers for its size or place: choose another."
        ) from None
    if turned > 1e-3 or len(sizes) > 1:
        raise DataError(
            "the images of the DICOM series differ in orientation or size (a localizer?), expected "
            "parallel slices: choose the series of this scan."
        )
    along = positions @ normal
    groups: list[list[int]] = []
    for index in np.argsort(along, kind="stable"):
        if not groups or along[index] - along[groups[-1][0]] > SAME_PLACE:
            groups.append([])
        groups[-1].append(int(index))
    if len({len(group) for group in groups}) > 1:
        counts = sorted(len(group) for group in groups)
        raise DataError(
            f"the DICOM series has {counts[0]} to {counts[-1]} images at its {len(groups)} "
            "positions, expected as many at each: it is incomplete, or several series in one."
        )
    ordered = [sorted(group, key=lambda index: _moment(found[index][0])) for group in groups]
    if _number(found[ordered[-1][0]][0]) < _number(found[ordered[0][0]][0]):
        ordered.reverse()
    places = positions[[group[0] for group in ordered]]
    spacing = float(np.abs(np.diff(places @ normal)).mean()) if len(places) > 1 else 0.0
    return Series(
        headers=[[found[index][0] for index in group] for group in ordered],
        files=[[found[index][1] for index in group] for group in ordered],
        planes=ImagePlanes(
            orientation=orientation,
            positions=places,
            pixel_spacing=(y, x),
            slice_spacing=spacing or float(first.get("SliceThickness", None) or 1),
        ),
    )


def _check(headers: list[Dataset]) -> None:
    if not headers:
        raise FormatError("the folder of the DICOM series holds no MR image: give the right one.")
    if any(header.get("SOPClassUID") == ENHANCED for header in headers):
        raise FormatError(
            "the DICOM series is enhanced (multi-frame), expected one file for each slice: split "
            "it with dcm4che's emf2sf."
        )
    if any(header.get("SOPClassUID") != MR_IMAGE_STORAGE for header in headers):
        raise FormatError("the DICOM series is not of MR images: give the series of this scan.")
    if any(header.get(name) is None for header in headers for name in PLACE):
        raise FormatError(
            "an image of the DICOM series is truncated, or lacks its size, position or "
            "orientation: fetch the series again."
        )
    count = len({header.get("SeriesInstanceUID") for header in headers})
    if count > 1:
        raise FormatError(f"the folder holds {count} DICOM series, expected one: move it apart.")


def _number(header: Dataset) -> int:
    return int(header.get("InstanceNumber", None) or 0)


def _moment(header: Dataset) -> tuple[float, float, int]:
    """What sorts the images of one place in time."""
    position = float(header.get("TemporalPositionIdentifier", None) or 0)
    return position, float(header.get("TriggerTime", None) or 0), _number(header)
