"""PSFs of photutils: ``GriddedPSFModel``, on a grid of positions, STDPSF files, ``ImagePSF``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.psf import resampled
from rimaging.datasets.varying_psf import Grid, VaryingPsf
from rimaging.errors import FormatError

__all__ = ["gridded_psf", "image_psf", "is_gridded_model", "is_image_model", "read_stdpsf"]


def is_gridded_model(source: object) -> bool:
    """Whether this is a GriddedPSFModel, told without importing photutils."""
    return all(hasattr(source, name) for name in ("grid_xypos", "oversampling", "data"))


def gridded_psf(model: Any, name: str = "GriddedPSFModel") -> VaryingPsf:
    """The PSFs of a ``GriddedPSFModel`` on the pixels of the detector, bilinear between its nodes.

    Raises FormatError for positions that are no grid.
    """
    data = torch.from_numpy(np.array(model.data, dtype=np.float64))
    places = [(float(y), float(x)) for x, y in model.grid_xypos]
    rows, columns = (sorted({place[axis] for place in places}) for axis in (0, 1))
    if len(rows) * len(columns) != len(places) or len(set(places)) != len(places):
        raise FormatError(
            f"the PSF grid {name!r} has {len(places)} positions in {len(rows)} rows and "
            f"{len(columns)} columns: expected one PSF at every crossing"
        )
    order = [places.index((y, x)) for y in rows for x in columns]
    height, width = data.shape[-2:]
    # the origin of photutils: of even sides it lies between two nodes
    middle = ((height - 1) / 2, (width - 1) / 2)
    images = resampled(data[order], 1 / _oversampling(model, name), middle=middle)
    return VaryingPsf(images.float(), Grid(tuple(rows), tuple(columns)), name)


def is_image_model(source: object) -> bool:
    """Whether this is an ImagePSF, as an EPSFBuilder makes it, told without importing photutils."""
    return all(hasattr(source, name) for name in ("x_0", "y_0", "oversampling", "data"))


def image_psf(model: Any) -> Tensor:
    """The PSF ``(y, x)`` of an ``ImagePSF`` on the pixels of the detector, of any sum."""
    data = torch.from_numpy(np.array(model.data, dtype=np.float64))
    x, y = (float(place) for place in model.origin)
    factor = 1 / _oversampling(model, type(model).__name__)
    return resampled(data, factor, middle=(y, x)).float()


def _oversampling(model: Any, name: str) -> float:
    steps = np.broadcast_to(np.asarray(model.oversampling, dtype=float), (2,))
    if steps[0] != steps[1]:
        raise FormatError(f"the PSF {name!r} is oversampled {steps[0]} by {steps[1]}-fold")
    return float(steps[0])


def read_stdpsf(path: str | Path) -> VaryingPsf:
    """Read a STDPSF file (Anderson) with photutils; raises FormatError where it cannot."""
    try:
        from photutils.psf import GriddedPSFModel
    except ImportError:
        raise FormatError(
            "reading a STDPSF file needs photutils: pip install 'rimaging[astro]'"
        ) from None
    try:
        model = GriddedPSFModel.read(str(path), format="stdpsf")
    except (KeyError, ValueError, TypeError, IndexError, OSError) as error:
        raise FormatError(
            f"{Path(path).name!r} is no STDPSF file of one detector: {str(error).splitlines()[0]}"
        ) from error
    return gridded_psf(model, Path(path).name)
