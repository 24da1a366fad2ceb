"""The XML header of ISMRMRD, as far as it says how to reconstruct; never who was scanned.

Source: Inati et al., Magn. Reson. Med. 77 (2017) 411.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.etree import ElementTree

__all__ = ["Encoding", "Header", "read_header"]

LONGEST = 1 << 20  # bytes of XML; real headers have some 20 kB
TRAJECTORIES = ("cartesian", "epi", "radial", "goldenangle", "spiral", "other")
MODES = ("embedded", "interleaved", "separate", "external", "other")

PATIENT_POSITIONS = ("HFP", "HFS", "HFDR", "HFDL", "FFP", "FFS", "FFDR", "FFDL")

Triple = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """One encoded space: matrix and field of view (mm), both (x, y, z); x is the readout.

    NaN where the header is silent. centre: (line, partition) of zero frequency, from the limits;
    last: the highest line. acceleration: of lines and partitions. calibration: mode of the
    calibration lines, "" where not stated. multiband: slices excited together.
    """

    matrix: Triple
    fov: Triple
    recon_matrix: Triple
    recon_fov: Triple
    trajectory: str
    centre: tuple[int | None, int | None]
    last: int | None
    acceleration: tuple[float, float] | None
    calibration: str
    multiband: int

    @property
    def voxel(self) -> Triple:
        """Size (x, y, z) in mm of what is measured."""
        x, y, z = (f / m for f, m in zip(self.fov, self.matrix, strict=True))
        return x, y, z

    @property
    def padding(self) -> tuple[int, int] | None:
        """First column that fastMRI measured, and the first after them, as its own loader has it.

        None where the limits are not stated.
        """
        centre = self.centre[0]
        if centre is None or self.last is None or not math.isfinite(self.matrix[1]):
            return None
        left = int(self.matrix[1]) // 2 - centre
        return left, left + self.last + 1


@dataclass(frozen=True, kw_only=True)
class Header:
    """The encodings, whether a Siemens scanner wrote the data, and the receiver's bandwidth.

    patient_position: how the patient lay, such as HFS (head first, supine); "" where not stated.
    diffusion: the counter of its weightings, likewise.
    """

    encodings: tuple[Encoding, ...]
    siemens: bool
    noise_bandwidth: float
    patient_position: str
    diffusion: str


def read_header(xml: bytes) -> Header | None:
    """Read matrix sizes, fields of view, limits and trajectory; None where there are none."""
    if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml or len(xml) > LONGEST:
        return None  # entities can expand without end
    try:
        root = ElementTree.fromstring(xml.strip())
    except (ElementTree.ParseError, ValueError):
        return None
    encodings = tuple(_encoding(element) for element in root.findall("{*}encoding"))
    if not encodings:
        return None
    system = "{*}acquisitionSystemInformation"
    bandwidth = _number(root, f"{system}/{{*}}relativeReceiverNoiseBandwidth")
    lying = _text(root, "{*}measurementInformation/{*}patientPosition")
    return Header(
        encodings=encodings,
        siemens="siemens" in _text(root, f"{system}/{{*}}systemVendor").lower(),
        noise_bandwidth=bandwidth if math.isfinite(bandwidth) and bandwidth > 0 else 1.0,
        diffusion=_text(root, "{*}sequenceParameters/{*}diffusionDimension"),
        patient_position=lying if lying in PATIENT_POSITIONS else "",
    )


def _encoding(element: ElementTree.Element) -> Encoding:
    limits = "{*}encodingLimits/{*}kspace_encoding_step_"
    factor = "{*}parallelImaging/{*}accelerationFactor/{*}kspace_encoding_step_"
    acceleration = tuple(_number(element, f"{factor}{step}") for step in (1, 2))
    trajectory = _text(element, "{*}trajectory").lower()
    mode = _text(element, "{*}parallelImaging/{*}calibrationMode").lower()
    return Encoding(
        matrix=_triple(element, "encodedSpace", "matrixSize"),
        fov=_triple(element, "encodedSpace", "fieldOfView_mm"),
        recon_matrix=_triple(element, "reconSpace", "matrixSize"),
        recon_fov=_triple(element, "reconSpace", "fieldOfView_mm"),
        trajectory=trajectory if trajectory in TRAJECTORIES else "other",
        centre=(
            _whole(element, f"{limits}1/{{*}}center"),
            _whole(element, f"{limits}2/{{*}}center"),
        ),
        last=_whole(element, f"{limits}1/{{*}}maximum"),
        acceleration=(acceleration[0], acceleration[1])
        if all(math.isfinite(value) and value >= 1 for value in acceleration)
        else None,
        calibration=mode if mode in MODES else "",
        multiband=_whole(element, "{*}parallelImaging/{*}multiband/{*}multiband_factor") or 1,
    )


def _triple(element: ElementTree.Element, space: str, group: str) -> Triple:
    x, y, z = (_number(element, f"{{*}}{space}/{{*}}{group}/{{*}}{axis}") for axis in "xyz")
    return x, y, z


def _number(element: ElementTree.Element, path: str) -> float:
    """A number above or equal to zero, else NaN."""
    try:
        value = float(_text(element, path))
    except ValueError:
        return math.nan
    return value if math.isfinite(value) and value >= 0 else math.nan


def _whole(element: ElementTree.Element, path: str) -> int | None:
    value = _number(element, path)
    return int(value) if math.isfinite(value) else None


def _text(element: ElementTree.Element, path: str) -> str:
    found = element.find(path)
    return "" if found is None or found.text is None else found.text.strip()
