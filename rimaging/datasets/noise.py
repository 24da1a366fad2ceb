"""Robust estimates of the noise of images, for where nobody states it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from rimaging.datasets.background import MAD_TO_SIGMA, middle
from rimaging.errors import DataError

__all__ = [
    "DIFFERENCES",
    "estimate_band_noise",
    "estimate_image_noise",
    "estimate_picture_noise",
    "noise_notes",
]

DIFFERENCES = torch.tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]]) / 6
"""What is looked at of each 3 x 3 block; of white noise it keeps the scale."""

LARGEST = 1 << 22  # samples looked at; more cannot change the third digit


def estimate_image_noise(image: Tensor, mask: Tensor | None = None) -> float:
    """Estimate the standard deviation per real component of white noise in images (..., y, x).

    The second difference along both axes, ``[1, -2, 1] x [1, -2, 1] / 6``, cancels planes and
    straight edges and keeps white noise at its scale; sigma = 1.4826 median|difference|.
    Differences that touch a masked pixel are left out. Noise that is correlated between neighbours
    (drizzled or resampled images) comes out too small: see `rimaging.datasets.noise_correlation`.

    Raises DataError where no 3 x 3 block is whole, or the estimate is zero.
    Source: Immerkaer, CVIU 1996, with the median of Donoho and Johnstone, Biometrika 1994.
    """
    parts = torch.view_as_real(image).movedim(-1, 0) if image.is_complex() else image
    if min(image.shape[-2:]) < 3:
        raise DataError(
            f"the noise of {tuple(image.shape[-2:])} pixels cannot be estimated, expected at least "
            "(3, 3): give noise=sigma."
        )
    difference = parts[..., 2:, :] - 2 * parts[..., 1:-1, :] + parts[..., :-2, :]
    difference = difference[..., 2:] - 2 * difference[..., 1:-1] + difference[..., :-2]
    difference = difference.abs() / 6
    if mask is not None:
        weight = mask.expand(image.shape)
        weight = torch.stack((weight, weight)) if image.is_complex() else weight
        whole = -max_pool2d(-weight.reshape(-1, 1, *image.shape[-2:]).to(parts.dtype), 3, stride=1)
        difference = difference[whole.reshape(difference.shape) > 0]
    return _sigma(difference.flatten(), "no 3 x 3 block of pixels is unmasked", parts)


def estimate_band_noise(data: Tensor, mask: Tensor | None) -> Tensor:
    """Estimate the noise of each band of a cube (..., y, x) by itself, (..., 1, 1).

    That of a band without any good pixel is 1: nothing comes of it.

    Raises DataError where another has no noise, or no band has a good pixel.
    """
    planes = data.reshape(-1, *data.shape[-2:])
    if mask is None:
        masks: list[Tensor | None] = [None] * len(planes)
    else:
        masks = list(mask.expand(data.shape).reshape(planes.shape))
    if mask is not None and not bool((mask > 0).any()):
        raise DataError("the noise cannot be estimated, every pixel is masked: give noise=sigma.")
    sigmas = [
        1.0 if m is not None and not bool((m > 0).any()) else estimate_image_noise(plane, m)
        for plane, m in zip(planes, masks, strict=True)
    ]
    return torch.tensor(sigmas, dtype=data.dtype, device=data.device).reshape(
        *data.shape[:-2], 1, 1
    )


def estimate_picture_noise(
    data: Tensor,
    mask: Tensor | None,
    axes: int,
    estimate: Callable[[Tensor, Tensor | None], float] = estimate_image_noise,
) -> tuple[Tensor, int]:
    """Estimate the noise of each picture of a batch by itself, ``(*batch, 1, ..., 1)``.

    A picture, of the last ``axes`` axes, then has the answer that it has alone. One that does not
    tell its noise (flat, or masked) gets the least of those that do; how many these are comes too.

    Raises DataError where no picture tells it.
    """
    lead, item = data.shape[: data.ndim - axes], data.shape[data.ndim - axes :]
    pictures = data.reshape(-1, *item)
    masks: list[Tensor | None] = [None] * len(pictures)
    if mask is not None:
        masks = list(mask.expand(data.shape).reshape(pictures.shape))
    sigmas: list[float] = []
    failure: DataError | None = None
    for picture, own in zip(pictures, masks, strict=True):
        try:
            sigmas.append(estimate(picture, own))
        except DataError as error:
            failure = error
            sigmas.append(math.inf)
    least = min(sigmas)
    if failure is not None and least == math.inf:
        raise failure
    found = torch.tensor(sigmas, dtype=data.dtype, device=data.device)
    found = torch.where(found.isinf(), least, found)
    return found.reshape(*lead, *(1 for _ in item)), sigmas.count(math.inf)


def noise_notes(sigma: Tensor | float, blank: int = 0, white: float = 1.0) -> list[str]:
    """What is said of estimated noise, in units of ``white``; ``blank`` pictures showed none."""
    least, most = (white * float(level) for level in torch.as_tensor(sigma).aminmax())
    how = "estimated from differences of neighbouring pixels"
    if isinstance(sigma, float):
        return [f"noise {least:.4g} {how}"]
    notes = [f"noise of each image {how}: {least:.4g} to {most:.4g}"]
    if blank:
        notes.append(f"noise of {blank} images that show none taken as the least of the others")
    return notes


def _sigma(magnitudes: Tensor, empty: str, data: Tensor) -> float:
    if magnitudes.numel() == 0:
        raise DataError(f"the noise cannot be estimated, {empty}: give noise=sigma.")
    step = -(-magnitudes.numel() // LARGEST)
    sigma = MAD_TO_SIGMA * float(middle(magnitudes[::step]))
    # what float32 rounds away is no noise
    if sigma <= torch.finfo(torch.float32).eps * float(data.abs().max()):
        raise DataError(
            "the noise is estimated as zero (the data look noise-free): give noise=sigma."
        )
    return sigma
