"""How values become gray: what is shown of an image, and from where to where."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rimaging.errors import DataError, ShapeError
from rimaging.reports.arrays import to_numpy

Kind = Literal["kspace", "sky", "image"]
"""What an image came from, as in `Measurement.kind`; it decides how the image is shown."""


@dataclass(frozen=True)
class Scale:
    """A gray scale: ``low`` is black, ``high`` is white; an asinh between if ``softening`` is set.

    The asinh is linear below ``softening`` and logarithmic above it (Lupton et al., AJ 118, 1406).
    """

    low: float
    high: float
    softening: float | None = None

    def __call__(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Map values to [0, 1]; NaN becomes black."""
        offset = np.nan_to_num(np.asarray(values, np.float64) - self.low, nan=0.0)
        span = self.high - self.low
        if self.softening is None:
            return np.clip(offset / span, 0.0, 1.0)
        stretched = np.arcsinh(offset / self.softening) / math.asinh(span / self.softening)
        return np.clip(stretched, 0.0, 1.0)

    def inverse(self, gray: NDArray[Any]) -> NDArray[np.float64]:
        """Give the values shown at ``gray`` in [0, 1]."""
        span, gray = self.high - self.low, np.asarray(gray, np.float64)
        if self.softening is None:
            return self.low + span * gray
        return self.low + self.softening * np.sinh(gray * math.asinh(span / self.softening))


def plane(image: NDArray[Any] | Tensor, kind: Kind) -> NDArray[np.float64]:
    """Choose what is shown of an image: ``(y, x)``, or ``(y, x, 3)`` of a colour ``(3, y, x)``.

    The magnitude of complex images, and the middle of every leading axis. The first row of a
    picture of the sky is the lowest, as in every FITS viewer.

    Raises:
        ShapeError: fewer than two axes.
    """
    array = to_numpy(image)
    if array.ndim < 2:
        raise ShapeError(f"a picture needs (..., y, x), got {array.shape}: reshape it first")
    shown = np.abs(array) if np.iscomplexobj(array) else array
    shown = shown.astype(np.float64)
    colour = kind == "image" and shown.ndim >= 3 and shown.shape[-3] == 3
    while shown.ndim > 2 + colour:
        shown = shown[len(shown) // 2]
    if kind == "sky":
        return shown[::-1]
    return np.moveaxis(shown, 0, -1) if colour else shown


def scale_of(image: NDArray[Any] | Tensor, kind: Kind) -> Scale:
    """Choose the gray scale that suits an image.

    ``image``: black 0, white 1. ``kspace``: 0 to the 99.8th percentile of the magnitude. ``sky``:
    an asinh from 2 sigma below the median to the 99.9th percentile, softened at 3 sigma, with
    sigma from the median absolute deviation.

    Raises:
        DataError: no finite value to scale by.
    """
    shown = plane(image, kind)
    values = shown[np.isfinite(shown)]
    if not values.size:
        raise DataError("the picture has no finite value; expected an image")
    if kind == "image":
        return Scale(0.0, 1.0)
    if kind == "kspace":
        return Scale(0.0, float(np.percentile(values, 99.8)) or 1.0)
    median = float(np.median(values))
    sigma = 1.4826 * float(np.median(np.abs(values - median)))
    high = float(np.percentile(values, 99.9))
    # A noise-free sky has sigma 0: any small fraction of the peak then does.
    sigma = max(sigma, 1e-3 * (high - median)) or 1.0
    low = median - 2 * sigma
    return Scale(low, max(high, low + 10 * sigma), 3 * sigma)
