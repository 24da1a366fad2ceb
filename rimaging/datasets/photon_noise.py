"""The noise of one image that was made by photons: how its variance rises with the signal."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rimaging.datasets.background import MAD_TO_SIGMA
from rimaging.errors import DataError, ShapeError

__all__ = ["PhotonNoise", "estimate_photon_noise"]

BINS = 16
RADIUS = 3
"""Of the window over which the signal is averaged."""


class PhotonNoise(NamedTuple):
    """``variance = gain * signal + offset``, never below ``floor``; in the units of the image."""

    gain: float
    offset: float
    floor: float

    def sigma(self, image: Tensor) -> Tensor:
        """The standard deviation of each pixel of ``(..., y, x)``, from its local mean.

        A mean of 7 x 7 and not the pixel itself: pixels that are low by chance would count as sure.
        """
        variance = self.gain * _local_mean(image) + self.offset
        return variance.clamp_min(self.floor).sqrt()


def estimate_photon_noise(image: Tensor) -> PhotonNoise:
    """Estimate gain and offset of Poisson-Gaussian noise from one image ``(y, x)``.

    In bins of the local mean the noise is 1.4826 times the median magnitude of a second difference
    that cancels planes; a line through the variances of the bins gives both numbers. It needs
    noise that is white, and more than one level of signal; texture counts as noise.

    Raises:
        ShapeError: not one image of 32 x 32 or more. DataError: no noise.

    Source: Foi et al., IEEE TIP 17, 1737 (2008), in outline.
    """
    if image.ndim != 2 or min(image.shape) < 32:
        raise ShapeError(
            f"photon noise is estimated from one image (y, x) of 32 pixels or more, got "
            f"{tuple(image.shape)}: give noise= as a map instead"
        )
    image = image.double()
    difference = image[2:] - 2 * image[1:-1] + image[:-2]
    difference = (difference[:, 2:] - 2 * difference[:, 1:-1] + difference[:, :-2]).abs() / 6
    level = _local_mean(image)[1:-1, 1:-1]
    order = level.flatten().argsort()
    parts = zip(
        level.flatten()[order].tensor_split(BINS),
        difference.flatten()[order].tensor_split(BINS),
        strict=True,
    )
    means, variances = [], []
    for signal, magnitude in parts:
        means.append(signal.mean())
        variances.append((MAD_TO_SIGMA * magnitude.median()).square())
    mean, variance = torch.stack(means), torch.stack(variances)
    if not bool((variance > 0).any()):
        raise DataError("the image shows no noise: give noise=sigma")
    # The error of a variance is proportional to it: a line through relative deviations.
    weight = 1 / variance.clamp_min(0.05 * variance.mean())
    design = torch.stack((mean, torch.ones_like(mean)), dim=1) * weight[:, None]
    gain, offset = torch.linalg.lstsq(design, (variance * weight)[:, None]).solution[:, 0].tolist()
    if gain <= 0:
        gain, offset = 0.0, float(variance.mean())
    floor = max(0.25 * float(variance.min()), 0.02 * float(variance.mean()))
    return PhotonNoise(gain, offset, floor)


def _local_mean(image: Tensor) -> Tensor:
    width = 2 * RADIUS + 1
    planes = image.reshape(-1, 1, *image.shape[-2:])
    padded = F.pad(planes, (RADIUS,) * 4, mode="replicate")
    return F.avg_pool2d(padded, width, stride=1).reshape(image.shape)
