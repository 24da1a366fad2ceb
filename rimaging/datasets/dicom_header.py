"""Headers and stored values of DICOM MR images.

An MR image has no modality LUT: software that knows none would show a rescaled one in a wrong
window. So the stored values are the image's, and the real world value mapping says in which unit.

Source: DICOM PS3.3 A.4 (MR Image IOD), C.7.6.1 (general image), C.7.6.2 (image plane),
C.7.6.16.2.11 (real world value mapping), C.11.2 (window).
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

# Attributes that must be there and may be empty.
EMPTY = (
    "AccessionNumber",
    "EchoTime",
    "EchoTrainLength",
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
    "ConversionSourceAttributesSequence",
    "DerivationCodeSequence",
    "DigitalSignaturesSequence",
    "IconImageSequence",
    "InstanceCreatorUID",
    "LargestImagePixelValue",
    "LargestPixelValueInSeries",
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
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "SmallestImagePixelValue",
    "SmallestPixelValueInSeries",
    "SourceImageSequence",
    "VOILUTFunction",
    "VOILUTSequence",
    "WindowCenterWidthExplanation",
)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """``stored = round(factor * image)``, one for the whole series.

    window: centre and width, of stored values. signed: whether the image has negative values.
    """

    factor: float
    window: tuple[float, float]
    signed: bool

    def stored(self, image: np.ndarray) -> np.ndarray:
        """The integers that stand for an image."""
        values = np.clip(np.rint(image.astype(np.float64) * self.factor), -TOP, TOP)
        return np.asarray(values, dtype=np.int16 if self.signed else np.uint16)


def blank_header(thickness: float, patient_position: str = "") -> Dataset:
    """The header of an MR image of nobody: what DICOM requires, empty where it may be.

    thickness: of a slice without the gap to the next, mm. patient_position: such as HFS.
    """
    from pydicom import Dataset
    from pydicom.uid import generate_uid

    header = Dataset()
    for keyword in EMPTY:
        setattr(header, keyword, None)
    header.Laterality = None  # required where the part of the body is unknown
    header.Modality = "MR"
    header.ScanningSequence = "RM"
    header.SequenceVariant = "NONE"
    header.SliceThickness = _decimal(round(thickness, 7))
    header.PatientPosition = patient_position or None
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
    for keyword in EMPTY:  # which anonymisers leave out
        header.setdefault(keyword, None)
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
    header.PixelRepresentation = int(scale.signed)
    header.RealWorldValueMappingSequence = [_mapping(scale)]
    header.WindowCenter, header.WindowWidth = map(_decimal, scale.window)
    pixels = np.ascontiguousarray(scale.stored(picture), dtype="<i2" if scale.signed else "<u2")
    header.PixelData = pixels.tobytes()
    return header


def _mapping(scale: Scale) -> Dataset:
    """What the stored values mean: ``image = stored / factor``, of no unit."""
    from pydicom import Dataset

    unit = Dataset()
    unit.CodeValue = "1"
    unit.CodingSchemeDesignator = "UCUM"
    unit.CodeMeaning = "no units"
    mapping = Dataset()
    # its VR is that of the pixels, which pydicom cannot see from inside of a sequence
    vr = "SS" if scale.signed else "US"
    mapping.add_new("RealWorldValueFirstValueMapped", vr, -TOP if scale.signed else 0)
    mapping.add_new("RealWorldValueLastValueMapped", vr, TOP)
    mapping.RealWorldValueIntercept = 0.0
    mapping.RealWorldValueSlope = 1 / scale.factor
    mapping.LUTExplanation = "values of the reconstruction"
    mapping.LUTLabel = "rimaging"
    mapping.MeasurementUnitsCodeSequence = [unit]
    return mapping


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
    """The scale that a person can undo: 1, 2 or 5 times a power of ten, the largest that fits."""
    top = float(np.abs(image).max())
    factor = _round_factor(TOP / top) if top > 0 else 1.0
    dark, bright = (float(value) * factor for value in np.quantile(image, [0.005, 0.995]))
    width = max(bright - dark, 1.0)
    return Scale(
        factor=factor, window=(dark + width / 2, width), signed=bool(float(image.min()) < 0)
    )


def _round_factor(most: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not above ``most``."""
    exponent = math.floor(math.log10(most))
    # one decade more: the logarithm of a power of ten may round either way
    steps = (float(f"{digit}e{exponent + more}") for more in (1, 0, -1) for digit in (5, 2, 1))
    return next(step for step in steps if step <= most)


def _decimal(value: float) -> str:
    """A decimal string, which has at most 16 characters."""
    texts = (f"{value:.{digits}g}" for digits in range(15, 0, -1))
    return next(text for text in texts if len(text) <= 16)
