"""A picture as a measurement, and back to the layout and the range that it came in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.sources import Array, Source, as_measurement
from rimaging.errors import ShapeError
from rimaging.reconstruction import Reconstruction, like


@dataclass(frozen=True)
class Picture:
    """An image as a measurement, and how it was laid out.

    white: of its integers. colour_last: its last axis is colour. clip: where its noise was cut off,
    in units of the measurement.
    """

    measurement: Measurement
    white: float = 1.0
    colour_last: bool = False
    clip: tuple[float, float] | None = None

    @classmethod
    def of(cls, image: Source, sigma: float | Array | None, notes: Sequence[str] = ()) -> Picture:
        """Integers become 0..1, colour comes to the front."""
        if isinstance(image, str | Path | Measurement):
            measurement = as_measurement(image, "image", noise=sigma)
            return cls(noted(measurement, notes))
        white = _white(image)
        array = to_tensor(image, "image")
        colour = array.ndim == 3 and array.shape[-1] == 3
        if array.ndim == 3 and array.shape[-1] in (2, 4):
            raise ShapeError(
                f"the image has shape {tuple(array.shape)}: give colour as (y, x, 3), without "
                "transparency (image[..., :3])"
            )
        noise = None if sigma is None else to_tensor(sigma, "sigma")
        if colour:
            array = array.movedim(-1, 0)
            noise = noise.movedim(-1, 0) if noise is not None and noise.ndim == 3 else noise
        noise = None if noise is None else noise / white
        measurement = as_measurement(array / white, "image", noise=noise)
        if white > 1:  # as of a file: a picture that is saved has the same white
            depth = {"bit_depth": round(math.log2(white + 1))}
            measurement = replace(measurement, provenance={**measurement.provenance, **depth})
        return cls(noted(measurement, notes), white, colour)

    @property
    def colour(self) -> bool:
        """Whether it has three channels of colour: as ``(y, x, 3)``, or of a picture's file."""
        data, facts = self.measurement.data, self.measurement.provenance
        return self.colour_last or (data.ndim == 3 and data.shape[0] == 3 and "bit_depth" in facts)

    def clipped(self, clip: tuple[float, float] | None) -> Picture:
        """The picture with the ends of its range, those given or those of its integers."""
        if clip is not None:
            low, high = clip
            return replace(self, clip=(low / self.white, high / self.white))
        ends = self.measurement.data.aminmax()
        depth = self.measurement.provenance.get("bit_depth", 32)
        if depth not in (8, 16) or (ends.min > 0 and ends.max < 1):
            return self
        note = "noise taken as clipped to black and white"
        return replace(self, measurement=noted(self.measurement, [note]), clip=(0.0, 1.0))

    def present(self, result: Reconstruction, source: object) -> Reconstruction:
        """Lay the image and its steps out as the source was."""
        if self.white == 1 and not self.colour_last:
            return like(result, source)
        estimate, error = result.image, result.uncertainty
        assert isinstance(estimate, Tensor)
        return like(
            replace(
                result,
                image=self._laid_out(estimate),
                steps=[self._laid_out(step) for step in result.steps if isinstance(step, Tensor)],
                uncertainty=self._laid_out(error) if isinstance(error, Tensor) else None,
                estimate=estimate,
                provenance={**result.provenance, "white": self.white},
            ),
            source,
        )

    def _laid_out(self, image: Tensor) -> Tensor:
        image = self.white * image
        return image.movedim(0, -1) if self.colour_last else image


def _white(image: Array) -> float:
    """The largest value of 8- and 16-bit integers; 1 for others, whose units are their own."""
    name = str(image.dtype).removeprefix("torch.") if isinstance(image, Tensor) else None
    name = np.asarray(image).dtype.name if name is None else name
    return {"uint8": 255.0, "uint16": 65535.0}.get(name, 1.0)


def noted(measurement: Measurement, notes: Sequence[str]) -> Measurement:
    """The measurement with notes of what was assumed."""
    if not notes:
        return measurement
    assumed = [*measurement.provenance.get("assumed", []), *notes]
    return replace(measurement, provenance={**measurement.provenance, "assumed": assumed})
