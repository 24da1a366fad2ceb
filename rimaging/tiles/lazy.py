"""Deconvolution of a dask array, to be computed when somebody looks."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from rimaging.datasets.varying_psf import VaryingPsf
from rimaging.mosaic.lazy import LazySource, lazily
from rimaging.mosaic.task import Task
from rimaging.mosaic.tiles import Grid, choose_unit
from rimaging.tiles.processor import SkyTiles
from rimaging.tiles.recipe import CPU_TILE, TASK, Sky, examples, settings_of
from rimaging.tiles.width import find_halo


def deconvolve_lazily(array: Any, sky: Sky, psf: Tensor | VaryingPsf, target: float) -> Any:
    """A dask array ``(..., y, x)`` of the reconstructed sky, on the grid of ``array``.

    A sample of it is computed now: level, noise and halo are the same for every
    tile. ``sky.image`` is not looked at.
    """
    cube = array.reshape(math.prod(array.shape[:-2]), *array.shape[-2:])
    shape = (int(cube.shape[0]), int(cube.shape[1]), int(cube.shape[2]))
    read = LazySource(cube).read
    unit = choose_unit(shape, CPU_TILE if sky.tile is None else sky.tile, sky.channels)
    settings = settings_of(sky, {}, Grid(shape, unit, 0), psf, target, read)
    process = SkyTiles(settings)
    halo, _ = find_halo(sky.halo, process, read, Grid(shape, unit, 0), examples(psf, shape))
    task = Task(TASK, settings)
    return lazily(cube, Grid(shape, unit, halo), task).reshape(array.shape)
