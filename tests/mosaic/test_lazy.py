"""A dask array in, a lazy dask array out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from rimaging import astro
from rimaging.datasets import varying_psf
from rimaging.datasets.varying_psf import VaryingPsf
from rimaging.errors import OptionError
from rimaging.mosaic.generated import box_blur, describe_starfield
from rimaging.mosaic.lazy import is_dask, lazily
from rimaging.mosaic.sources import open_source
from rimaging.mosaic.task import Task
from rimaging.mosaic.tiles import Grid
from rimaging.operators.target import gaussian_psf

SHAPE = (2, 60, 76)


def sky() -> np.ndarray:
    return open_source(describe_starfield(SHAPE, fwhm=3.0, cell=24)).read(
        (slice(0, 2), slice(0, 60), slice(0, 76))
    )


def test_lazy_tiles_make_the_whole_whatever_the_chunks() -> None:
    import dask.array as da

    data = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    array = da.from_array(data, chunks=(1, 7, 50))
    task = Task("rimaging.mosaic.generated:box_blur", {"radius": 3})
    lazy = lazily(array, Grid(SHAPE, (1, 24, 32), 8), task)
    whole = box_blur({"radius": 3})(data, Grid(SHAPE, SHAPE, 0)[0])
    assert lazy.shape == SHAPE and lazy.dtype == np.float32
    assert np.allclose(lazy.compute(scheduler="sync"), whole, atol=1e-6)
    part = lazy[1, 5:9, 60:70].compute(scheduler="sync")
    assert np.allclose(part, np.asarray(whole)[1, 5:9, 60:70], atol=1e-6)


def test_the_door_takes_a_dask_array(real_weights: Path) -> None:
    import dask.array as da

    array = da.from_array(sky(), chunks=(1, 30, 40))
    result = astro.deconvolve(array, 3.0, 1.0, target=1.5, weights=real_weights)  # type: ignore[arg-type]
    assert is_dask(result) and result.shape == SHAPE  # type: ignore[attr-defined]
    image = result.compute(scheduler="sync")  # type: ignore[attr-defined]
    whole = astro.deconvolve(sky(), 3.0, 1.0, target=1.5, weights=real_weights).image
    assert np.std(image - whole) < 1e-4 * np.std(np.asarray(whole))


def test_a_dask_array_takes_a_psf_that_varies(real_weights: Path) -> None:
    import dask.array as da

    data = sky()[0]
    kernels = gaussian_psf(2.5), gaussian_psf(4.0)
    side = max(kernel.shape[-1] for kernel in kernels)
    images = [functional.pad(k, 4 * ((side - k.shape[-1]) // 2,)) for k in kernels]
    psf = VaryingPsf(torch.stack(images), varying_psf.Grid((0.0,), (0.0, 75.0)), "field")
    array = da.from_array(data, chunks=(30, 40))
    lazy = astro.deconvolve(array, psf, 1.0, target=1.5, weights=real_weights)  # type: ignore[arg-type]
    image = lazy.compute(scheduler="sync")  # type: ignore[attr-defined]
    whole = astro.deconvolve(data, psf, 1.0, target=1.5, weights=real_weights).image
    assert np.std(image - whole) < 1e-4 * np.std(np.asarray(whole))
    one = astro.deconvolve(data, 3.0, 1.0, target=1.5, weights=real_weights).image
    assert np.std(image - one) > 2 * np.std(image - whole)


def test_what_is_not_lazy_is_refused(real_weights: Path) -> None:
    import dask.array as da

    array = da.zeros((40, 40), chunks=20)
    with pytest.raises(OptionError, match="noise="):
        astro.deconvolve(array, 3.0, 1.0, method="wiener", weights=real_weights)  # type: ignore[arg-type]
