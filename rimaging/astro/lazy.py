"""Deconvolution of a dask array: by the RIM, one level and noise for each channel."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from torch import Tensor

from rimaging.astro.psf import TARGET, Psf, as_psf
from rimaging.datasets.psf import prepare_psf
from rimaging.datasets.sources import Array
from rimaging.datasets.varying_psf import VaryingPsf
from rimaging.errors import OptionError
from rimaging.method import Weights
from rimaging.tiles.lazy import deconvolve_lazily
from rimaging.tiles.recipe import Sky, examples, target_of


def lazily(
    image: Any,
    psf: Psf | None,
    noise: float | Array | None,
    mask: Array | None,
    target: float | None,
    weights: Weights,
    background: float | None,
    steps: int | None,
    method: str,
    boundary: str,
) -> Any:
    """As `rimaging.astro.deconvolve` says of a dask array; OptionError for what it cannot have."""
    if psf is None:
        raise OptionError("a dask array has no PSF of its own: give psf=")
    if mask is not None or method != "rim" or boundary != "reflect":
        raise OptionError(
            "a dask array takes noise=, target=, weights=, background= and steps= only: set "
            "masked pixels to NaN, or give a file to rimaging.mosaics.deconvolve"
        )
    if not isinstance(weights, str | Path):
        raise OptionError("a dask array takes weights by name or path, which every worker loads")
    prepared: Tensor | VaryingPsf
    if isinstance(psf, VaryingPsf):
        prepared = psf
    else:
        given = as_psf(psf)
        prepared, _ = prepare_psf(given.reshape(-1, *given.shape[-2:]))
    shape = (math.prod(image.shape[:-2]), image.shape[-2], image.shape[-1])
    width = target_of(examples(prepared, shape), target, TARGET)
    sky = Sky(image={}, psf=psf, noise=noise, weights=weights, background=background, steps=steps)
    return deconvolve_lazily(image, sky, prepared, width)
