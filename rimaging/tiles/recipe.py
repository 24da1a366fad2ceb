"""From what is asked of a sky to everything that decides the values of the output."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from rimaging import __version__
from rimaging.datasets.fits_header import carried
from rimaging.datasets.sources import Array
from rimaging.errors import OptionError, ShapeError
from rimaging.mosaic.folder import Recipe
from rimaging.mosaic.sources import (
    Description,
    check_shape,
    describe,
    file_identity,
    open_source,
)
from rimaging.mosaic.task import Task, digest, pack
from rimaging.mosaic.tiles import Grid, choose_unit
from rimaging.operators.target import relative_kernel
from rimaging.reports.arrays import to_numpy
from rimaging.rim.weights import SHIPPED, load_weights
from rimaging.tiles.inputs import mask_of, noise_of
from rimaging.tiles.processor import BATCH, SkyTiles
from rimaging.tiles.sample import Parts, level_and_noise, recorded_lengths, sample, typical_noise
from rimaging.tiles.width import find_halo

CPU_TILE, GPU_TILE = 1024, 4096


@dataclass(frozen=True, kw_only=True)
class Sky:
    """What to do with a sky.

    image: path or URL of FITS (``file.fits[SCI]``), tile-compressed FITS, ``.npy`` or Zarr,
    ``(..., y, x)``; or the description of a source. psf, target, weights, steps, background: as of
    `rimaging.astro.deconvolve`, the same for every tile. noise: standard deviation, one number or
    one for each channel, or the path of a map; else the ERR extension, else estimated from a
    sample. mask: the path of a map, 1 where a pixel is good; else the DQ extension, 0 where good.
    tile: side of a tile in pixels; by default 1024, on GPUs 4096. channels: in one unit. halo:
    "auto" measures how wide it must be for a seam error below 1e-3 of the noise, "exact" is as far
    as anything reaches, or pixels. residual: also write ``(y - A x) / sigma``.
    """

    image: str | Path | Description
    psf: Array | str | Path | float
    noise: float | Array | str | Path | None = None
    mask: str | Path | None = None
    target: float | None = None
    weights: str | Path = "astro"
    background: float | None = None
    steps: int | None = None
    tile: int | None = None
    channels: int | None = None
    halo: str = "auto"
    residual: bool = False


def recipe_for(sky: Sky, psf: Tensor, target: float, *, gpus: bool = False) -> Recipe:
    """Everything that decides the values of the output, from a sample of the sky.

    Args:
        sky: what to do. psf: ``(1 or channel, y, x)`` of sum 1, odd. target: FWHM in pixels.
        gpus: choose the tile for a GPU.
    """
    source = describe(sky.image) if isinstance(sky.image, str | Path) else sky.image
    shape = check_shape(source)
    read = open_source(source).read
    parts = sample(read, shape)
    settings = settings_of(sky, source, shape, psf, target, parts)
    process = SkyTiles(settings)
    config, card = process.rim.config, process.card
    names = ("image", "residual") if sky.residual else ("image",)
    cell = config.cell()
    task = Task(
        "rimaging.tiles.processor:tile_processor",
        settings,
        names,
        # images of the physics and their spectra; inputs, copies and features of the network
        bytes_per_pixel=4.0 * (40 + 4 * cell.inputs + 3 * cell.fine + cell.coarse),
        batch_pixels=BATCH,
    )
    unit = choose_unit(shape, sky.tile or (GPU_TILE if gpus else CPU_TILE), sky.channels)
    halo, seam = find_halo(sky.halo, process, read, Grid(shape, unit, 0), psf, parts)
    name = str(card.get("name", "unnamed"))[:60]
    return Recipe(
        source=source,
        grid=Grid(shape, unit, halo),
        task=task,
        header=_header(source),
        notes={
            "seam error": seam,
            "history": f"rimaging {__version__} rim {name} {card['sha256'][:12]}",
            "cards": {
                "RIMMODEL": [name, "weights"],
                "RIMHASH": [card["sha256"][:16], "first digits of their sha256"],
                "RIMSTEPS": [process.steps, "steps of inference"],
                "RIMPSF": [round(target, 4), "FWHM of the target PSF in pixels"],
            },
        },
    )


def settings_of(
    sky: Sky,
    source: Description,
    shape: tuple[int, int, int],
    psf: Tensor,
    target: float,
    parts: Parts,
) -> dict[str, Any]:
    """The settings of `SkyTiles`, the same for every tile.

    Raises ShapeError for PSFs that are not one or one for each channel, DataError for noise that is
    not above zero, OptionError for weights of several channels.
    """
    if len(psf) not in (1, shape[0]):
        raise ShapeError(
            f"{len(psf)} PSFs came for {shape[0]} channels: give one for all, or one for each"
        )
    path = weights_path(sky.weights)
    rim, card = load_weights(path)
    if rim.config.complex or rim.config.channels != 1:
        raise OptionError("mosaics take weights for one real channel, such as 'astro'")
    noise_map, given = noise_of(sky.noise, source, shape)
    mask = mask_of(sky.mask, source, shape)
    estimate = given is None and noise_map is None
    level, sigma = level_and_noise(parts, mask, sky.background, estimate=estimate)
    if given is not None:
        sigma = np.broadcast_to(given, (shape[0],))
    if noise_map is not None:
        sigma = typical_noise(noise_map, parts)
    settings: dict[str, Any] = {
        "weights": str(path.resolve()),
        "sha256": card["sha256"],
        "steps": rim.config.steps if sky.steps is None else sky.steps,
        "kernel": pack(to_numpy(relative_kernel(psf, target))),
        "noise": noise_map,
        "mask": mask,
        "residual": sky.residual,
        "asked": asked(sky),
        "level": pack(level),
        "sigma": pack(np.asarray(sigma, np.float32)),
        "lengths": None,
    }
    settings["lengths"] = pack(to_numpy(recorded_lengths(SkyTiles(settings), parts)))
    return settings


def asked(sky: Sky) -> dict[str, Any]:
    """What was asked for, in values that a later call can be compared with."""

    def told(value: Any) -> Any:
        if isinstance(value, Path | str):
            path = Path(value).expanduser()
            return file_identity(path)["sha256 of samples"] if path.is_file() else str(value)
        if isinstance(value, Tensor | np.ndarray):
            array = to_numpy(value) if isinstance(value, Tensor) else np.asarray(value)
            return digest(str(array.shape) + array.tobytes().hex())
        return value

    names = ("psf", "noise", "mask", "target", "background", "steps", "tile", "channels", "halo")
    return {name: told(getattr(sky, name)) for name in names} | {"residual": sky.residual}


def weights_path(weights: str | Path) -> Path:
    """Where weights lie on the disk: workers load them by path and digest."""
    shipped = SHIPPED / f"{weights}.safetensors"
    return shipped if shipped.is_file() else Path(weights).expanduser()


def _header(source: Description) -> str:
    """The cards of the input that stay true of the output."""
    if "header" not in source:
        return ""
    from astropy.io import fits

    header = fits.Header.fromstring(source["header"], sep="\n")
    full = tuple(source["full_shape"])
    header = carried(header, full, full)
    text: str = header.tostring(sep="\n", padding=False)
    return text
