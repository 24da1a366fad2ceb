"""What a detector does to an image: photon noise, read noise, full pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rimaging.datasets.fits_header import saturation as stated_saturation
from rimaging.datasets.measurement import Measurement
from rimaging.errors import DataError, OptionError
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.poisson import Poisson

__all__ = ["Detector", "without_saturated"]


@dataclass(frozen=True)
class Detector:
    """Photon and read noise: ``gain y + r^2 ~ Poisson(gain (A x + sky) + r^2)``.

    The sum of Poisson and Gaussian noise as one Poisson of equal mean and variance, in electrons.

    gain: electrons per unit of the image; read_noise: ``r``, electrons.

    Raises OptionError for a gain that is not above 0 and read noise below 0.

    Source: Snyder, Hammoud & White, J. Opt. Soc. Am. A 10, 1014 (1993).
    """

    gain: float
    read_noise: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.gain) and self.gain > 0):
            raise OptionError(f"gain is {self.gain}: give electrons per unit of the image, above 0")
        if not (math.isfinite(self.read_noise) and self.read_noise >= 0):
            raise OptionError(f"read_noise is {self.read_noise}: give electrons, 0 or more")

    def with_noise(self, measurement: Measurement, sky: Tensor) -> Measurement:
        """The image with the noise that its sky ``(..., 1, 1)`` has, and a note of where from.

        Raises DataError where sky and read noise leave no noise at all.
        """
        note = (
            f"noise of photons, {self.gain:g} electrons per unit, and of reading, "
            f"{self.read_noise:g} electrons: a Poisson likelihood"
        )
        assumed = [*measurement.provenance.get("assumed", []), note]
        provenance = {**measurement.provenance, "assumed": assumed}
        noise = self._variance(sky).sqrt() / self.gain
        return replace(measurement, noise=noise, provenance=provenance)

    def electrons(self, measurement: Measurement, sky: Tensor) -> Measurement:
        """The image above its sky ``(..., 1, 1)``, in electrons; its noise is that of the sky.

        Raises DataError as `with_noise`.
        """
        data = self.gain * (measurement.data - sky)
        return replace(measurement, data=data, noise=self._variance(sky).sqrt())

    def _variance(self, sky: Tensor) -> Tensor:
        """Of the sky, in electrons squared."""
        variance = self.gain * sky + self.read_noise**2
        if not bool((variance > 0).all()):
            raise DataError(
                f"the sky is {float(sky.min()):.4g}, read noise {self.read_noise:.4g} and no noise "
                "left: add the sky that was taken off to the image, or count it as read noise, "
                "sqrt(gain * sky + read_noise^2) electrons"
            )
        return variance

    def likelihood(self, operator: LinearOperator, piece: Measurement) -> Poisson:
        """Of a piece of what `electrons` gave; counts below zero are zero."""
        background = torch.as_tensor(piece.noise).to(piece.data).square()
        counts = (piece.data + background).clamp_min(0)
        return Poisson(operator, counts, background, weight=piece.mask)


def without_saturated(measurement: Measurement, level: float | None) -> Measurement:
    """Mask pixels at or above ``level``, by default SATURATE of the header; flagged in DQ.

    Raises DataError where no pixel is left.
    """
    header = measurement.header
    if level is None:
        level = math.inf if header is None else stated_saturation(header)
    elif header is not None:
        header = header.copy()
        header["SATURATE"] = (level, "as given")  # the writer flags by it
    full = measurement.data >= level
    count = int(full.sum())
    if not count:
        return measurement
    if count == full.numel():
        raise DataError(f"every pixel is at or above the saturation level {level:.6g}: raise it")
    mask = (~full).to(torch.float32)
    if measurement.mask is not None:
        mask = mask * measurement.mask
    note = f"{count} pixels at or above {level:.6g} (saturated) left out of the likelihood"
    assumed = [*measurement.provenance.get("assumed", []), note]
    provenance = {**measurement.provenance, "assumed": assumed}
    return replace(measurement, mask=mask, header=header, provenance=provenance)
