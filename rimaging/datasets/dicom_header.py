"""Headers and stored values of DICOM MR images.

Source: DICOM PS3.3 A.4 (MR Image IOD), C.7.6.1 (general image), C.7.6.2 (image plane), C.11.1
(modality LUT).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from rimaging import __version__
from rimaging.datasets.dicom_series import MR_IMAGE_STORAGE, quiet_pydicom
from rimaging.datasets.geometry import ImagePlanes

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["Scale", "blank_header", "image_header", "place", "scale_of"]

TOP = 32767
"""Largest stored value: 15 of 16 bits, so that software that takes them as signed does no harm."""

LEAST = 1000.0
"""Least maximum after rescaling: below it, windows would be narrower than DICOM allows (1)."""

# Attributes that must be there and may be empty.
EMPTY = (
    "AccessionNumber",
    "EchoTime",
    "EchoTrainLength",
    "Laterality",
    "MRAcquisitionType",
    "Manufacturer",
    "PatientBirthDate",
    "PatientID",
    "PatientName",
    "PatientPosition",
    "PatientSex",
    "PositionReferenceIndicator",
    "ReferringPhysicianName",
    "RepetitionTime",
    "ScanOptions",
    "StudyDate",
    "StudyID",
    "StudyTime",
)

# Attributes of the pixels, history and look of the image that was the model.
STALE = (
    "DerivationCodeSequence",
    "DigitalSignaturesSequence",
    "IconImageSequence",
    "LargestImagePixelValue",
    "LossyImageCompression",
    "LossyImageCompressionMethod",
    "LossyImageCompressionRatio",
    "MACParametersSequence",
    "ModalityLUTSequence",
    "PixelAspectRatio",
    "PixelPaddingRangeLimit",
    "PixelPaddingValue",
    "PlanarConfiguration",
    "PresentationLUTShape",
    "RealWorldValueMappingSequence",
    "RescaleType",
    "SmallestImagePixelValue",
    "SourceImageSequence",
    "VOILUTFunction",
    "VOILUTSequence",
    "WindowCenterWidthExplanation",
)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """``stored = (10**power * image - intercept) / slope``, one for the whole series."""

    slope: float
    intercept: float
    power: int
    window: tuple[float, float]

    def stored(self, image: np.ndarray) -> np.ndarray:
        """The integers that stand for an image."""
        values = (image.astype(np.float64) * 10.0**self.power - self.intercept) / self.slope
        return np.asarray(np.clip(np.rint(values), 0, TOP), dtype=np.uint16)


def blank_header(thickness: float) -> Dataset:
    """The header of an MR image of nobody: what DICOM requires, empty where it may be."""
    from pydicom import Dataset
    from pydicom.uid import generate_uid

    header = Dataset()
    for keyword in EMPTY:
        setattr(header, keyword, None)
    header.Modality = "MR"
    header.ScanningSequence = "RM"
    header.SequenceVariant = "NONE"
    header.SliceThickness = _decimal(thickness)
    header.SeriesNumber = 1
    header.StudyInstanceUID = generate_uid(prefix=None)
    header.FrameOfReferenceUID = generate_uid(prefix=None)
    return header


def image_header(
    model: Dataset, picture: np.ndarray, scale: Scale, text: str, now: datetime
) -> Dataset:
    """A header like the model's with another picture in it, and how that was made."""
    from copy import deepcopy

    from pydicom import Dataset
    from pydicom.uid import generate_uid

    with quiet_pydicom():
        header = Dataset(deepcopy(model))
        header.remove_private_tags()
    for keyword in STALE:
        if keyword in header:
            delattr(header, keyword)
    for tag in list(header.keys()):
        if 0x5000 <= tag.group < 0x7000 or tag.group > 0x7F00:
            del header[tag]  # curves, overlays, padding
    header.SOPClassUID = MR_IMAGE_STORAGE
    header.SOPInstanceUID = generate_uid(prefix=None)
    header.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    header.InstanceCreationDate = header.ContentDate = now.strftime("%Y%m%d")
    header.InstanceCreationTime = header.ContentTime = now.strftime("%H%M%S")
    header.DerivationDescription = text
    header.ContributingEquipmentSequence = [*_equipment(header), _this_equipment()]
    if model.get("SOPInstanceUID") is not None:
        header.SeriesNumber = 1000 + int(model.get("SeriesNumber", None) or 0)
    name = str(model.get("SeriesDescription", None) or "").strip()
    header.SeriesDescription = f"{name[:54]} rimaging".strip()
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.Rows, header.Columns = picture.shape
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit = 15
    header.PixelRepresentation = 0
    header.RescaleSlope = _decimal(scale.slope)
    header.RescaleIntercept = _decimal(scale.intercept)
    header.RescaleType = "US"
    header.WindowCenter, header.WindowWidth = map(_decimal, scale.window)
    header.PixelData = np.ascontiguousarray(scale.stored(picture), dtype="<u2").tobytes()
    return header


def _equipment(header: Dataset) -> list[Dataset]:
    return list(header.get("ContributingEquipmentSequence", None) or [])


def _this_equipment() -> Dataset:
    from pydicom import Dataset

    purpose = Dataset()
    purpose.CodeValue = "109102"
    purpose.CodingSchemeDesignator = "DCM"
    purpose.CodeMeaning = "Processing Equipment"
    equipment = Dataset()
    equipment.Manufacturer = "rimaging"
    equipment.SoftwareVersions = __version__
    equipment.PurposeOfReferenceCodeSequence = [purpose]
    return equipment


def place(header: Dataset, planes: ImagePlanes, index: int, frame: int, frames: int) -> None:
    """Where and when the picture is."""
    position = planes.positions[index]
    # to a tenth of a nanometre: without the rounding errors of cosines
    header.ImagePositionPatient = [_decimal(round(value, 7)) for value in position]
    header.ImageOrientationPatient = [_decimal(round(value, 10)) for value in planes.orientation]
    header.PixelSpacing = [_decimal(round(value, 7)) for value in planes.pixel_spacing]
    header.SpacingBetweenSlices = _decimal(round(planes.slice_spacing, 7))
    header.SliceLocation = _decimal(round(float(position @ planes.normal), 7))
    if frames > 1:
        header.TemporalPositionIdentifier = frame + 1
        header.NumberOfTemporalPositions = frames


def scale_of(image: np.ndarray) -> Scale:
    """The scale that gives the largest value TOP, and a window from percentiles."""
    low, high = min(float(image.min()), 0.0), float(image.max())
    span = high - low or 1.0
    power = max(0, math.ceil(math.log10(LEAST / span)))
    units = 10.0**power
    dark, bright = (float(value) * units for value in np.quantile(image, [0.005, 0.995]))
    width = max(bright - dark, 1.0)
    return Scale(
        # a little more than needed, for the 16 characters of a decimal string
        slope=float(_decimal(span * units / TOP * (1 + 1e-8))),
        intercept=float(_decimal(low * units)),
        power=power,
        window=(dark + width / 2, width),
    )


def _decimal(value: float) -> str:
    """A decimal string, which has at most 16 characters."""
    texts = (f"{value:.{digits}g}" for digits in range(15, 0, -1))
    return next(text for text in texts if len(text) <= 16)
