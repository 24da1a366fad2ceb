"""What comes beside a sky: maps of noise and of good pixels, as files or as extensions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rimaging.datasets.sources import Array
from rimaging.errors import DataError, FormatError, ShapeError
from rimaging.mosaic.sources import Description, check_shape, describe
from rimaging.reports.arrays import to_numpy


def noise_of(
    noise: float | Array | str | Path | None, source: Description, shape: tuple[int, int, int]
) -> tuple[Description | None, NDArray[np.float32] | None]:
    """The map of the noise, or one number for each channel, or neither."""
    if isinstance(noise, str | Path):
        found = describe(noise)
        _check_map(found, shape, "noise")
        return found, None
    if noise is None:
        return _companion(source, "ERR", shape), None
    sigma = np.asarray(to_numpy(torch.as_tensor(noise)), np.float32).reshape(-1)
    if sigma.size not in (1, shape[0]) or not bool((np.isfinite(sigma) & (sigma > 0)).all()):
        raise DataError(
            f"the noise has {sigma.size} values from {sigma.min():.4g}: give one above zero, or "
            f"one for each of {shape[0]} channels"
        )
    return None, sigma


def mask_of(
    mask: str | Path | None, source: Description, shape: tuple[int, int, int]
) -> dict[str, Any] | None:
    """The map of good pixels and which of its values is good, or None."""
    if mask is not None:
        found = describe(mask)
        _check_map(found, shape, "mask")
        return {"source": found, "good": "one"}
    quality = _companion(source, "DQ", shape)
    return None if quality is None else {"source": quality, "good": "zero"}


def _companion(source: Description, name: str, shape: tuple[int, int, int]) -> Description | None:
    """The extension beside an image, where there is one of its shape."""
    if "header" not in source:
        return None
    try:
        found = describe(f"{source['path']}[{name}]")
    except FormatError:
        return None
    return found if check_shape(found) == shape else None


def _check_map(found: Description, shape: tuple[int, int, int], name: str) -> None:
    if check_shape(found) != shape:
        raise ShapeError(f"the {name} has shape {check_shape(found)}, the image {shape}")
