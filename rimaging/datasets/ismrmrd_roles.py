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
    if file.flagged(*(f"COMPRESSION{n}" for n in (1, 2, 3, 4))).any():
        raise FormatError(
            "readouts are marked as compressed, and what holds their samples is not stated: export "
            "the scan again without compression."
        )
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
    encoding = file.header.encodings[space]
    found = (np.flatnonzero(which) for which in (imaging & ~other, only, noise))
    imaging, only, noise = found
    _refuse_mixed(file, imaging, encoding)
    turned = file.flagged("IS_REVERSE")[imaging]
    there, back = (_places(file, imaging[turned == way], COUNTERS) for way in (False, True))
    cartesian = encoding.trajectory in ("cartesian", "epi")
    # echoes may go to and fro; lines of one image only do so echo-planar
    if file.flagged("IS_PHASECORR_DATA").any() or (cartesian and there & back):
        notes.append("echo-planar phase is not corrected: expect ghosts at half the field of view")
    if encoding.trajectory == "epi":
        notes.append("echo-planar samples taken as equidistant: those on gradient ramps are not")
    again = len(imaging) - len(_places(file, imaging))
    if again and cartesian:
        notes.append(
            f"{again} readouts have the counters of another, no average's either: averaged with it"
        )
    return imaging, only, noise, encoding, notes


def _refuse_mixed(file: Acquisitions, imaging: np.ndarray, encoding: Encoding) -> None:
    """Raise FormatError for what the sum over readouts of one place would mix without a word."""
    if encoding.multiband > 1:
        raise FormatError(
            f"{encoding.multiband} slices were excited together (multiband), expected one by one: "
            "separate them first, for example with slice-GRAPPA."
        )
    name = file.header.diffusion
    idx = file.heads["idx"][imaging]
    if name in ("average", "segment"):
        values = idx[name]
    elif name.startswith("user_") and name[5:] in tuple("01234567"):
        values = idx["user"][:, int(name[5:])]
    else:
        return  # among COUNTERS, or nowhere
    if len(np.unique(values)) > 1:
        raise FormatError(
            f"diffusion weightings are counted by {name!r} and would be averaged: export them as "
            "repetitions, or split the scan."
        )


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
        apart = not _places(file, imaging).isdisjoint(_places(file, only))
    if not apart:
        return only, none, [f"{len(only)} calibration readouts are part of k-space"]
    fits = file.heads["active_channels"][only] == file.heads["active_channels"][imaging][0]
    slices = file.heads["idx"]["slice"]
    whole = set(slices[only].tolist()) == set(slices[imaging].tolist())
    if not (bool(fits.all()) and whole and bool(same_space.all())):
        return none, none, [f"{len(only)} calibration readouts of another kind left out"]
    return none, only, []


def _places(
    file: Acquisitions, chosen: np.ndarray, names: tuple[str, ...] = PLACE
) -> set[tuple[int, ...]]:
    """The different values of these counters; by default one for each readout of a scan."""
    idx = file.heads["idx"][chosen]
    return set(zip(*(idx[name].tolist() for name in names), strict=True))
