"""What each readout of an ISMRMRD file is for: image, calibration, noise, or nothing of these."""

from __future__ import annotations

import numpy as np

from rimaging.datasets.ismrmrd_file import Acquisitions
from rimaging.datasets.ismrmrd_header import Encoding
from rimaging.datasets.readouts import COUNTERS
from rimaging.errors import FormatError

__all__ = ["calibration_roles", "sorted_out"]

LEFT_OUT = (
    "IS_NAVIGATION_DATA",
    "IS_PHASECORR_DATA",
    "IS_HPFEEDBACK_DATA",
    "IS_DUMMYSCAN_DATA",
    "IS_RTFEEDBACK_DATA",
    "IS_SURFACECOILCORRECTIONSCAN_DATA",
    "IS_PHASE_STABILIZATION_REFERENCE",
    "IS_PHASE_STABILIZATION",
)
"""Flags of readouts that are no k-space of the image."""

PLACE = ("kspace_encode_step_1", "kspace_encode_step_2", "average", *COUNTERS)


def sorted_out(
    file: Acquisitions,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Encoding, list[str]]:
    """Indices of imaging, calibration-only and noise readouts, the encoding, and notes."""
    notes = []
    noise = file.flagged("IS_NOISE_MEASUREMENT")
    useless = file.flagged(*LEFT_OUT) & ~noise
    only = file.flagged("IS_PARALLEL_CALIBRATION") & ~useless & ~noise
    only &= ~file.flagged("IS_PARALLEL_CALIBRATION_AND_IMAGING")
    imaging = ~(noise | useless | only)
    if not imaging.any():
        imaging, only = only, np.zeros_like(only)  # a calibration scan is a scan of its own
    if not imaging.any():
        raise FormatError(
            f"the ISMRMRD file has {int(noise.sum())} noise readouts and none of an image: give "
            "the file of the scan itself."
        )
    spaces = file.heads["encoding_space_ref"]
    space = int(np.bincount(spaces[imaging]).argmax())
    if space >= len(file.header.encodings):
        raise FormatError(
            f"readouts are of encoding {space}, the header has {len(file.header.encodings)}: "
            "export the scan again."
        )
    other = imaging & (spaces != space)
    if other.any():
        notes.append(f"{int(other.sum())} readouts of another encoding left out")
    if useless.any():
        notes.append(f"{int(useless.sum())} navigator, phase-correction or dummy readouts left out")
    if file.flagged("IS_PHASECORR_DATA").any():
        notes.append("echo-planar phase is not corrected: expect ghosts at half the field of view")
    encoding = file.header.encodings[space]
    found = (np.flatnonzero(which) for which in (imaging & ~other, only, noise))
    imaging, only, noise = found
    return imaging, only, noise, encoding, notes


def calibration_roles(
    file: Acquisitions, imaging: np.ndarray, only: np.ndarray, encoding: Encoding
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Calibration-only readouts that belong to the scan, those of a scan apart, and notes.

    Where the header does not say, they are a scan apart if it measured the same lines again.
    """
    none = only[:0]
    if len(only) == 0:
        return none, none, []
    spaces = file.heads["encoding_space_ref"]
    same_space = spaces[only] == spaces[imaging][0]
    mode = encoding.calibration
    apart = mode in ("separate", "external") or not bool(same_space.all())
    if mode not in ("embedded", "interleaved") and not apart:
        lines, again = (
            set(zip(*(file.heads["idx"][name][chosen].tolist() for name in PLACE), strict=True))
            for chosen in (imaging, only)
        )
        apart = not lines.isdisjoint(again)
    if not apart:
        return only, none, [f"{len(only)} calibration readouts are part of k-space"]
    fits = file.heads["active_channels"][only] == file.heads["active_channels"][imaging][0]
    slices = file.heads["idx"]["slice"]
    whole = set(slices[only].tolist()) == set(slices[imaging].tolist())
    if not (bool(fits.all()) and whole and bool(same_space.all())):
        return none, none, [f"{len(only)} calibration readouts of another kind left out"]
    return none, only, []
