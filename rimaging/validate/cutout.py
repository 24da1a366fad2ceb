"""The part of the user's image that is looked at: one plane, its middle."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.errors import OptionError
from rimaging.reconstruction import centre_crop


def plane_of(measurement: Measurement, band: int | None) -> Measurement:
    """One plane of a cube with its own noise, mask and PSF; the middle one by default.

    Raises OptionError for a plane that does not exist.
    """
    planes = math.prod(measurement.data.shape[:-2])
    chosen = planes // 2 if band is None else band
    if not 0 <= chosen < planes:
        raise OptionError(f"there is no band {band}: the image has {planes}, counted from 0")
    lead = measurement.data.shape[:-2]

    def pick(array: Any) -> Any:
        if not isinstance(array, Tensor) or array.ndim < 2:
            return array
        return array.expand(*lead, *array.shape[-2:]).reshape(planes, *array.shape[-2:])[chosen]

    return Measurement(
        kind="sky",
        data=pick(measurement.data),
        noise=pick(measurement.noise),
        mask=pick(measurement.mask),
        psf=pick(measurement.psf),
        provenance=measurement.provenance,
    )


def middle(measurement: Measurement, side: int) -> Measurement:
    """The middle of the image, at most ``side`` pixels wide."""
    size = [min(side, n) for n in measurement.data.shape[-2:]]

    def crop(array: Any) -> Any:
        if not isinstance(array, Tensor) or array.ndim < 2:
            return array
        return centre_crop(array, size)

    return replace(
        measurement,
        data=crop(measurement.data),
        noise=crop(measurement.noise),
        mask=crop(measurement.mask),
    )
