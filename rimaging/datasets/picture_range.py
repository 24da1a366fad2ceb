"""From values to black and white: how many bits a picture has, and which values its ends are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from rimaging.datasets.measurement import Measurement

__all__ = ["as_array", "bits_of", "magnitude", "stretch", "window_of"]

QUANTILES = (0.005, 0.995)
"""Of the values that have no white: what lies beyond is black and white."""


def bits_of(path: Path, measurement: Measurement | None) -> int:
    """8 or 16 as a picture came, and of others 8 in PNG; 32, floats as they are, in TIFF."""
    depth = 32 if measurement is None else int(measurement.provenance.get("bit_depth", 32))
    known = measurement is not None and measurement.kind == "image" and depth <= 16
    if path.suffix.lower() != ".png" and not known:
        return 32
    return 16 if depth == 16 else 8


def window_of(image: np.ndarray, measurement: Measurement | None) -> tuple[float, float] | None:
    """The values of black and white of a real image; None where white is 1, or nothing is known."""
    if measurement is None or (
        measurement.kind == "image" and measurement.provenance.get("bit_depth", 32) <= 16
    ):
        return None
    known = image[np.isfinite(image)]  # NaN in a channel where nothing was measured
    if not known.size:
        return None
    low, high = np.quantile(known, QUANTILES)
    return float(low), float(high)


def stretch(
    path: str | Path, image: Tensor | np.ndarray, measurement: Measurement | None
) -> tuple[float, float] | None:
    """The values that a picture shows as black and white, where they are not 0 and 1.

    None for formats that keep values: all but PNG.
    """
    kept = not str(path).lower().endswith(".png")
    return None if kept else window_of(magnitude(as_array(image)), measurement)


def magnitude(array: np.ndarray) -> np.ndarray:
    """``|x|`` of complex numbers; real ones as they are."""
    return np.abs(array) if np.iscomplexobj(array) else array


def as_array(value: Tensor | np.ndarray) -> np.ndarray:
    """NumPy of either."""
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
