"""How near an image is to a reference: PSNR, SSIM and NMSE, in the conventions of the fields.

Magnetic resonance (fastMRI): the whole volume at once, ``data_range = reference.max()``.
Photographs: values in [0, 1], ``data_range = 1``, a border shaved off, luma for colour.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rimaging.errors import DataError, ShapeError
from rimaging.reports.arrays import to_numpy

A = TypeVar("A", NDArray[Any], Tensor)

WINDOW = 7
"""Side of the uniform SSIM window, in pixels."""


def real_array(image: NDArray[Any] | Tensor, name: str) -> NDArray[np.float64]:
    """``image`` as a finite float64 NumPy array.

    Raises:
        DataError: complex values (a metric would have to guess what to compare), NaN or infinity.
    """
    array = to_numpy(image)
    if np.iscomplexobj(array):
        raise DataError(f"{name} is {array.dtype}; expected real values: pass its magnitude (abs)")
    values = np.ascontiguousarray(array, dtype=np.float64)
    bad = values.size - int(np.isfinite(values).sum())
    if bad or not values.size:
        raise DataError(
            f"{name} has {bad} NaN or infinite values of {values.size}; expected finite values: "
            "mask or crop them first"
        )
    return values


def psnr(
    reference: NDArray[Any] | Tensor,
    image: NDArray[Any] | Tensor,
    data_range: float,
    shave: int = 0,
) -> float:
    """Peak signal-to-noise ratio in decibels, over all pixels of all slices at once.

    ``10 log10(data_range^2 / mean |reference - image|^2)``; infinite for equal images.

    Args:
        reference: the truth, ``(..., y, x)``, real.
        image: what is judged, of the same shape.
        data_range: the peak: 1 for pictures in [0, 1], ``reference.max()`` of the volume for MRI.
        shave: pixels left out along each border.

    Raises:
        ShapeError: other shapes, or nothing left after shaving.
        DataError: complex or non-finite values, ``data_range`` not positive.
    """
    truth, guess = _pair(reference, image, data_range, shave)
    error = float(np.mean((truth - guess) ** 2))
    return math.inf if error == 0 else 10 * math.log10(data_range**2 / error)


def ssim(
    reference: NDArray[Any] | Tensor,
    image: NDArray[Any] | Tensor,
    data_range: float,
    shave: int = 0,
) -> float:
    """Structural similarity, the mean over slices, as fastMRI evaluates it.

    scikit-image's ``structural_similarity`` of each ``(y, x)`` slice with a uniform 7 x 7 window
    and the sample covariance; one ``data_range`` for the volume. Colour channels count as slices.

    Args:
        reference: the truth, ``(..., y, x)``, real, at least 7 x 7.
        image: what is judged, of the same shape.
        data_range: 1 for pictures in [0, 1], ``reference.max()`` of the volume for MRI.
        shave: pixels left out along each border.

    Raises:
        ShapeError: other shapes, or less than 7 x 7 pixels.
        DataError: complex or non-finite values, ``data_range`` not positive.

    Source: Wang et al., IEEE TIP 13, 600 (2004); Zbontar et al., arXiv:1811.08839.
    """
    from skimage.metrics import structural_similarity

    truth, guess = _pair(reference, image, data_range, shave)
    if min(truth.shape[-2:]) < WINDOW:
        raise ShapeError(
            f"ssim got {truth.shape[-2]} x {truth.shape[-1]} pixels after shaving; "
            f"expected at least {WINDOW} x {WINDOW}: shave less or compare a larger image"
        )
    similarities = [
        structural_similarity(a, b, win_size=WINDOW, data_range=data_range)
        for a, b in zip(
            truth.reshape(-1, *truth.shape[-2:]), guess.reshape(-1, *guess.shape[-2:]), strict=True
        )
    ]
    return float(np.mean(similarities))


def nmse(reference: NDArray[Any] | Tensor, image: NDArray[Any] | Tensor) -> float:
    """Normalised mean squared error ``|reference - image|^2 / |reference|^2`` of the whole volume.

    Raises:
        ShapeError: other shapes.
        DataError: complex or non-finite values, a reference that is zero everywhere.
    """
    truth, guess = _pair(reference, image, 1.0, 0)
    power = float(np.sum(truth**2))
    if power == 0:
        raise DataError("nmse got a reference that is zero everywhere; expected an image")
    return float(np.sum((truth - guess) ** 2)) / power


def luma(picture: A) -> A:
    """Luma of an RGB picture in [0, 1]: the channel on which super-resolution is compared.

    ``Y = (16 + 65.481 R + 128.553 G + 24.966 B) / 255``; ``(..., 3, y, x)`` to ``(..., y, x)``.

    Raises:
        ShapeError: the third axis from the end is not 3.

    Source: ITU-R BT.601, as MATLAB's ``rgb2ycbcr``.
    """
    if picture.ndim < 3 or picture.shape[-3] != 3:
        raise ShapeError(f"luma expects (..., 3, y, x), got {tuple(picture.shape)}: put RGB first")
    red, green, blue = (picture[..., channel, :, :] for channel in range(3))
    return (16 + 65.481 * red + 128.553 * green + 24.966 * blue) / 255


def _pair(
    reference: NDArray[Any] | Tensor, image: NDArray[Any] | Tensor, data_range: float, shave: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if tuple(reference.shape) != tuple(image.shape):
        raise ShapeError(
            f"image is {tuple(image.shape)}, reference is {tuple(reference.shape)}; "
            "expected equal shapes: crop or squeeze one of them"
        )
    if reference.ndim < 2:
        raise ShapeError(f"got shape {tuple(reference.shape)}; expected images (..., y, x)")
    if not (math.isfinite(data_range) and data_range > 0):
        raise DataError(f"data_range is {data_range}; expected > 0, e.g. reference.max()")
    if shave < 0 or 2 * shave >= min(reference.shape[-2:]):
        raise ShapeError(
            f"shave={shave} leaves nothing of {tuple(reference.shape[-2:])} pixels; "
            "expected less than half of the shorter side"
        )
    height, width = reference.shape[-2:]
    inner = (..., slice(shave, height - shave), slice(shave, width - shave))
    return real_array(reference, "reference")[inner], real_array(image, "image")[inner]
