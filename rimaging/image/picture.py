"""A picture as a measurement, and back to the layout and the range that it came in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.layout import Layout
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.sources import Array, Source, as_measurement
from rimaging.errors import DataError, OptionError
from rimaging.image.noise import estimated
from rimaging.reconstruction import Reconstruction, like

ARRAYS = ("npy", "npz", "mat")
"""Formats that hold an array as it was in memory: what is said of arrays holds for theirs too."""

WHITES = {"uint8": 255.0, "uint16": 65535.0}
"""The largest value of integers; other numbers have units of their own."""


@dataclass(frozen=True)
class Picture:
    """An image as a measurement, and how it was laid out.

    white: of its integers. layout: of its array. clip: where its noise was cut off, in units of the
    measurement.
    """

    measurement: Measurement
    white: float = 1.0
    layout: Layout = Layout.PLANES
    clip: tuple[float, float] | None = None

    @classmethod
    def of(cls, image: Source, sigma: float | Array | None, notes: Sequence[str] = ()) -> Picture:
        """Integers become 0..1, colour comes to the front.

        Raises OptionError for a sigma above the white of a picture's file.
        """
        measurement = noted(as_measurement(image, "image"), notes)
        facts = measurement.provenance
        if facts.get("format") == "mat" and measurement.data.ndim > 2:
            # its reader has turned (y, x, 3) of MATLAB already
            if measurement.data.shape[-3] == 3:
                measurement = replace(measurement, provenance={**facts, "colour": True})
            facts = measurement.provenance
        if isinstance(image, str | Path | Measurement):
            is_array, dtype = facts.get("format") in ARRAYS, facts.get("dtype", "")
        else:
            is_array, dtype = True, _dtype(image)
        white, layout = 1.0, Layout.PLANES
        if is_array:
            white = WHITES.get(dtype, 1.0)
            layout = layout if "colour" in facts else Layout.of(measurement.data.shape)
        elif sigma is not None:
            _check_units(sigma, facts.get("bit_depth", 32))
        axes = measurement.data.ndim
        measurement = _planar(measurement, layout, white)
        if sigma is not None:
            noise = _planes(to_tensor(sigma, "sigma"), axes, layout) / white
            measurement = as_measurement(measurement, "image", noise=noise)
        return cls(measurement, white, layout)

    @property
    def colour(self) -> bool:
        """Whether its planes are three channels of colour, by its layout or by its file."""
        return bool(self.measurement.provenance.get("colour"))

    def completed(self, photons: bool = False) -> Picture:
        """With the noise of each image, estimated where nobody states it.

        photons: as noise that rises with the signal (`rimaging.image.noise`).
        """
        if self.measurement.noise is not None:
            return self
        ends = self.clip or self._ends()
        noise, notes = estimated(self.measurement, self.white, ends, photons)
        return replace(self, measurement=noted(replace(self.measurement, noise=noise), notes))

    def clipped(self, clip: tuple[float, float] | None) -> Picture:
        """The picture with the ends of its range, those given or those of its integers."""
        if clip is not None:
            if np.size(clip) != 2:
                raise OptionError(f"clip is {clip}: give two numbers, black and white")
            low, high = clip
            return replace(self, clip=(low / self.white, high / self.white))
        ends = self._ends()
        if ends is None:
            return self
        note = "noise taken as clipped to black and white"
        return replace(self, measurement=noted(self.measurement, [note]), clip=ends)

    def _ends(self) -> tuple[float, float] | None:
        """Black and white of integers, where pixels lie there."""
        ends = self.measurement.data.aminmax()
        depth = self.measurement.provenance.get("bit_depth", 32)
        return None if depth not in (8, 16) or (ends.min > 0 and ends.max < 1) else (0.0, 1.0)

    def present(self, result: Reconstruction, source: object) -> Reconstruction:
        """Lay image, steps, error and residual out as the source was."""
        if self.white == 1 and self.layout is Layout.PLANES:
            return like(result, source)
        estimate, error = result.image, result.uncertainty
        assert isinstance(estimate, Tensor) and isinstance(result.residual, Tensor)
        out = self.layout.laid_out
        return like(
            replace(
                result,
                image=self.white * out(estimate),
                residual=out(result.residual),
                steps=[self.white * out(s) for s in result.steps if isinstance(s, Tensor)],
                uncertainty=self.white * out(error) if isinstance(error, Tensor) else None,
                estimate=estimate,
                layout=self.layout,
                provenance={**result.provenance, "white": self.white},
            ),
            source,
        )


def _planar(measurement: Measurement, layout: Layout, white: float) -> Measurement:
    """The measurement with its axes as planes and its white at 1."""
    if white == 1 and layout is Layout.PLANES:
        return measurement

    def moved(values: Tensor | float | None, scale: float) -> Tensor | float | None:
        if isinstance(values, Tensor):
            values = _planes(values, measurement.data.ndim, layout)
        return None if values is None else values / scale

    facts = {k: v for k, v in measurement.provenance.items() if k != "dtype"}
    if layout is Layout.COLOUR:
        facts["colour"] = True
    if white > 1:  # as of a file: a picture that is saved has the same white
        facts["bit_depth"] = round(math.log2(white + 1))
    changed: dict[str, Any] = {
        "data": moved(measurement.data, white),
        "noise": moved(measurement.noise, white),
        "mask": moved(measurement.mask, 1.0),
        "reference": moved(measurement.reference, white),
    }
    return replace(measurement, **changed, provenance=facts)


def _planes(values: Tensor, axes: int, layout: Layout) -> Tensor:
    """An array of as many ``axes`` as the image laid out as planes; one of fewer is ``(y, x)``."""
    return layout.planes(values) if values.ndim == axes else values


def check_known(pixels: Tensor, known: Tensor) -> None:
    """Raise DataError where nothing is known, or the mask ``(y, x)`` seems to be inverted."""
    if not bool(known.any()):
        raise DataError(
            "the mask has no pixel above 0.5, expected 1 where a pixel is known: divide it by its "
            "largest value"
        )
    seen, hidden = pixels[..., known], pixels[..., ~known]
    blank = seen.shape[-1] > 1 and bool((seen == seen[..., :1]).all())
    if blank and bool((hidden != hidden[..., :1]).any()):
        raise DataError(
            "the pixels that the mask calls known all have one value, the others do not: it is 1 "
            "where a pixel is known and 0 where it is to be found, invert it"
        )


def _check_units(sigma: float | Array, depth: int) -> None:
    """Raise OptionError for a sigma that is everywhere above 1, the white of 16 bits and less."""
    level = float(to_tensor(sigma, "sigma").min())
    if depth <= 16 and level > 1:
        meant = f"{level:g}/{65535 if depth == 16 else 255}"
        raise OptionError(
            f"sigma is {level:g}, and a picture from a file has white at 1: give sigma={meant} "
            f"(--sigma {meant})"
        )


def _dtype(image: Array) -> str:
    if isinstance(image, Tensor):
        return str(image.dtype).removeprefix("torch.")
    return np.asarray(image).dtype.name


def noted(measurement: Measurement, notes: Sequence[str]) -> Measurement:
    """The measurement with notes of what was assumed."""
    if not notes:
        return measurement
    assumed = [*measurement.provenance.get("assumed", []), *notes]
    return replace(measurement, provenance={**measurement.provenance, "assumed": assumed})
