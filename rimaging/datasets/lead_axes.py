"""The axes in front of an image (..., y, x): what each counts, and the order that files want.

A reader names them in ``provenance["axes"]``, front to back; frames of a film are named where the
user says that they are some. Axes without names are slices, with whatever else in front of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from rimaging.datasets.bart import in_dimensions
from rimaging.datasets.folder import is_folder
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.volume_axes import SLICES_ALONG, as_read

__all__ = ["as_stored", "as_volume", "frame_place", "lead_names", "with_frames"]

TIME = ("frame", "repetition", "phase")
"""What counts moments, the likelier one first."""

VOLUMES = (".nii", ".nii.gz")
PICTURES = (".png", ".tif", ".tiff")


def lead_names(measurement: Measurement | None) -> tuple[str, ...]:
    """Names of the axes in front of the image (..., y, x); none where nobody stated them."""
    if measurement is None:
        return ()
    names = tuple(measurement.provenance.get("axes", ()))
    solid = measurement.matrix is not None and len(measurement.matrix) > 2
    names += ("slice",) * (solid and bool(names))
    return names if len(names) == len(measurement.image_shape) - 2 else ()


def with_frames(measurement: Measurement) -> Measurement:
    """K-space (..., frame, coil, y, x) with one axis in front named as that of its frames.

    It is the one that counts moments by its name; else the last but the slices; without names the
    last, behind slices.
    """
    lead = measurement.data.ndim - 3
    names = tuple(measurement.provenance.get("axes", ()))
    if lead == 0:
        return measurement
    if len(names) != lead:
        names = (*("item",) * (lead - 2), "slice", "frame")[-lead:]
    elif not any(name in TIME for name in names):
        others = [i for i, name in enumerate(names) if name != "slice"]
        place = others[-1] if others else lead - 1
        names = (*names[:place], "frame", *names[place + 1 :])
    return replace(measurement, provenance={**measurement.provenance, "axes": list(names)})


def frame_place(names: Sequence[str]) -> int:
    """Which of named axes counts the moments: by its name, else the last but the slices."""
    for moment in TIME:
        if moment in names:
            return len(names) - 1 - list(names)[::-1].index(moment)
    others = [i for i, name in enumerate(names) if name != "slice"]
    return others[-1] if others else len(names) - 1


def as_volume(image: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """An image as (..., frame, slice, y, x), a single slice where no axis counts them.

    As it is where its axes have no names.
    """
    if not names or len(names) != image.ndim - 2:
        return image
    slices = [i for i, name in enumerate(names) if name == "slice"][-1:]
    others = [i for i in range(len(names)) if i not in slices]
    if others:
        moment = others[frame_place([names[i] for i in others])]
        others = [*(i for i in others if i != moment), moment]
    moved = image.transpose(*others, *slices, -2, -1)
    return moved if slices else moved[..., None, :, :]


def as_stored(
    path: str | Path, image: Tensor | np.ndarray, measurement: Measurement | None
) -> np.ndarray:
    """An image (..., y, x) with its axes as the file of this name has them.

    NIfTI and DICOM count slices and then frames, a .cfl has a dimension for each, a picture has no
    axis in front. In them a volume of a .cfl lies as it was read, (z, y, x). Other files keep the
    axes as they are. Raises FormatError for axes that a .cfl has no dimension for.
    """
    array = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
    name, names = str(path).lower(), lead_names(measurement)
    if is_folder(path) or name.endswith(VOLUMES):
        return as_volume(as_read(array, measurement), names)
    if name.endswith(".cfl") and names and len(names) == array.ndim - 2:
        if measurement is not None and SLICES_ALONG in measurement.provenance:
            names = tuple("z" if n == "slice" else n for n in names)
        return in_dimensions(as_read(array, measurement), names)
    if name.endswith(PICTURES):
        return array.squeeze(tuple(i for i in range(array.ndim - 2) if array.shape[i] == 1))
    return array
