"""What is asked of a sky, and what of it a later call is compared with."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from rimaging.datasets.fits_open import split_extension
from rimaging.datasets.psf_grid import gridded_psf, is_gridded_model
from rimaging.datasets.sources import Array
from rimaging.datasets.varying_psf import VaryingPsf
from rimaging.mosaic.sources import Description, file_identity
from rimaging.mosaic.task import digest
from rimaging.reports.arrays import to_numpy
from rimaging.uncertainty import Learned


@dataclass(frozen=True, kw_only=True)
class Sky:
    """What to do with a sky.

    image: path or URL of FITS (``file.fits[SCI]``), tile-compressed FITS, ``.npy`` or Zarr,
    ``(..., y, x)``; or the description of a source. psf, target, weights, steps: as of
    `rimaging.astro.deconvolve`; of a PSF that varies over the image every tile takes what its own
    place has. noise: standard deviation, one number or one for each channel, or the path of a map;
    else what is beside the image (ERR, VARIANCE, VAR_*, UNCERT, WHT), else estimated. mask: the
    path of a map, 1 where a pixel is good; else DQ and MASK. background: level of the empty sky,
    one or one for each channel, or the path of a map; else estimated for each channel. gain,
    read_noise, saturation: as there. What is estimated is so from a sample of each channel, and
    from all of it where it is no larger than a tile.

    tile: side of a tile in pixels; by default 1536, on GPUs 4096. channels: in one unit. halo:
    "auto" measures how wide it must be for a seam error below 1e-3 of the noise, "exact" is as far
    as anything reaches, or pixels. residual: also write ``(y - A x) / sigma``. error_map: "learned"
    also writes the error that the weights tell. add_residual: as of
    `rimaging.astro.deconvolve`.
    """

    image: str | Path | Description
    psf: Array | str | Path | float | VaryingPsf
    noise: float | Array | str | Path | None = None
    mask: str | Path | None = None
    target: float | None = None
    weights: str | Path = "astro"
    background: float | Array | str | Path | None = None
    gain: float | None = None
    read_noise: float | None = None
    saturation: float | None = None
    steps: int | None = None
    tile: int | None = None
    channels: int | None = None
    halo: str = "auto"
    residual: bool = False
    error_map: Learned | None = None
    add_residual: bool = False


def asked(sky: Sky) -> dict[str, Any]:
    """What was asked for, in values that a later call can be compared with."""
    names = [field.name for field in fields(Sky) if field.name not in ("image", "weights")]
    return {name: _told(getattr(sky, name)) for name in names}


def _told(value: Any) -> Any:
    if isinstance(value, Path | str):
        path = split_extension(value)[0].expanduser()
        return file_identity(path)["sha256 of samples"] if path.is_file() else str(value)
    if isinstance(value, Tensor | np.ndarray):
        array = to_numpy(value) if isinstance(value, Tensor) else np.asarray(value)
        return digest(str(array.shape) + array.tobytes().hex())
    if is_gridded_model(value):
        value = gridded_psf(value)
    if isinstance(value, VaryingPsf):
        where = f"{value.positions} {value.origin} {tuple(value.images.shape)} "
        return digest(where + to_numpy(value.images).tobytes().hex())
    return value
