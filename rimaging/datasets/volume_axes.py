"""The axes of a volume that a reader split into slices: its maps and masks there, its image back.

The slices of ``(..., coil, z, y, x)`` split along the readout are ``(..., x, coil, z, y)``, along
the partitions ``(..., z, coil, y, x)``. ``provenance["slices_along"]`` says which, where nothing
else, such as an affine, says how they lie.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from rimaging.datasets.measurement import Measurement

__all__ = ["SLICES_ALONG", "as_read", "as_split"]

SLICES_ALONG = "slices_along"
AXES = {"z": -3, "x": -1}


def as_split(
    measurement: Measurement, mask: Tensor | None, maps: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """Mask ``(z, y, x)`` and maps ``([set,] coil, z, y, x)`` of a volume as those of its slices.

    Axes of one entry in a mask stand for all. What does not have the shape of the volume is taken
    as that of its slices already.
    """
    along = measurement.provenance.get(SLICES_ALONG)
    if along is None:
        return mask, maps
    slices, coils, *plane = measurement.data.shape[-4:]
    volume = (*plane, slices) if along == "x" else (slices, *plane)
    if maps is not None and tuple(maps.shape[-4:]) == (coils, *volume):
        maps = maps.movedim(AXES[along], 0)
    if mask is not None and mask.ndim == 3:
        fits = all(n in (1, size) for n, size in zip(mask.shape, volume, strict=True))
        mask = mask.movedim(AXES[along], 0) if fits else mask
    return mask, maps


def as_read(image: np.ndarray, measurement: Measurement | None) -> np.ndarray:
    """The image ``(..., slice, a, b)`` of a volume that was split as ``(..., z, y, x)``."""
    along = None if measurement is None else measurement.provenance.get(SLICES_ALONG)
    return image if along is None else np.moveaxis(image, -3, AXES[along])
