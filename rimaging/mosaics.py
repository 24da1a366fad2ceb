"""The door for skies larger than memory: plan, deconvolve, verify; from a file to a file."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rimaging import __version__
from rimaging.astro import TARGET, Psf, as_psf
from rimaging.datasets.background import sky_level
from rimaging.datasets.fits_header import carried
from rimaging.datasets.noise import estimate_image_noise
from rimaging.datasets.psf import prepare_psf
from rimaging.datasets.sources import Array
from rimaging.errors import DataError, FormatError, OptionError, ShapeError
from rimaging.mosaic.driver import Outcome, Progress
from rimaging.mosaic.folder import Recipe, RunFolder
from rimaging.mosaic.halo import TOLERANCE, likely_halo, measured_halo, parse_halo
from rimaging.mosaic.plan import Plan
from rimaging.mosaic.run import Workers, check_output
from rimaging.mosaic.run import run as run_recipe
from rimaging.mosaic.seams import Corner, corners, seam_error
from rimaging.mosaic.sources import (
    Description,
    Slices,
    check_shape,
    describe,
    file_identity,
    open_source,
)
from rimaging.mosaic.task import Task, digest, pack
from rimaging.mosaic.tiles import ALIGN, Grid, Unit, choose_unit
from rimaging.mosaic.verify import verify
from rimaging.operators.target import largest_target, relative_kernel
from rimaging.reports.arrays import to_numpy
from rimaging.rim.weights import SHIPPED, file_sha256, load_weights
from rimaging.tiles import BATCH, SkyTiles, exact_reach, reader, recorded_lengths

__all__ = ["Sky", "deconvolve", "plan", "verify"]

SAMPLES = 16
SAMPLE_PIXELS = 1 << 22
"""Of the sample from which level, noise and step lengths come."""
NETWORK = 24.0
"""Effective radius of the network, in pixels, where the search for a halo begins."""
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
    psf: Psf
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


def deconvolve(
    sky: Sky,
    output: str | Path,
    workers: Workers | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    allow_missing: bool = False,
    report: Callable[[Progress, str], None] | None = None,
) -> Outcome:
    """Deconvolve a sky tile by tile into ``output``, ``.fits`` or ``.zarr``.

    Whatever happens on the way, the same call with ``resume`` goes on where it was, and what comes
    out is bit for bit the same. The output appears when it is complete.

    Raises:
        OptionError: an output or run that is there, or another run than the one to resume, or one
            that does not fit memory or disk. FormatError: files that cannot be read or written.
        DataError, ShapeError, WeightsError: as of `rimaging.astro.deconvolve`.
    """
    output, workers = Path(output), Workers() if workers is None else workers
    check_output(output, overwrite=overwrite or resume)
    folder = RunFolder.beside(output)
    recipe = _resumed(sky, folder) if resume and folder.plan.is_file() else None
    if recipe is None:
        recipe = recipe_for(sky, gpus=bool(workers.gpus))
        whole = recipe.grid.pixels
        cost = Plan(recipe, workers.processes(whole), folder=output.parent, fits=_fits(output))
        cost.check()
    return run_recipe(
        recipe,
        output,
        workers,
        resume=resume,
        overwrite=overwrite,
        allow_missing=allow_missing,
        report=report,
    )


def plan(sky: Sky, workers: Workers | None = None, output: str | Path = "out.fits") -> Plan:
    """What `deconvolve` would take: memory, disk, tiles, halo, hours; one sample tile is run."""
    workers = Workers() if workers is None else workers
    recipe = recipe_for(sky, gpus=bool(workers.gpus))
    process = recipe.task.build()
    unit = _sample_unit(recipe.grid)
    block = open_source(recipe.source).read(unit.block)
    process(block[:, :64, :64], _small(unit))  # what is done once is not the pace
    started = time.perf_counter()
    process(block, unit)
    pace = (time.perf_counter() - started) / block.size
    output = Path(output)
    return Plan(
        recipe,
        workers.processes(recipe.grid.pixels),
        threads=3 if workers.gpus else 1,
        seconds_per_pixel=pace,
        fits=_fits(output),
        folder=output.parent,
    )


def recipe_for(sky: Sky, *, gpus: bool = False) -> Recipe:
    """Everything that decides the values of the output, from a sample of the sky."""
    source = describe(sky.image) if isinstance(sky.image, str | Path) else sky.image
    shape = check_shape(source)
    psf, notes = prepare_psf(as_psf(sky.psf).reshape(-1, *as_psf(sky.psf).shape[-2:]))
    if len(psf) not in (1, shape[0]):
        raise ShapeError(
            f"{len(psf)} PSFs came for {shape[0]} channels: give one for all, or one for each"
        )
    target = largest_target(psf, TARGET) if sky.target is None else float(sky.target)
    kernel = relative_kernel(psf, target)
    path = _weights_path(sky.weights)
    rim, card = load_weights(path)
    if rim.config.complex or rim.config.channels != 1:
        raise OptionError("mosaics take weights for one real channel, such as 'astro'")
    steps = rim.config.steps if sky.steps is None else sky.steps
    noise_map, sigma = _noise(sky, source, shape)
    mask = _mask(sky, source, shape)
    settings: dict[str, Any] = {
        "weights": str(path.resolve()),
        "sha256": card["sha256"],
        "steps": steps,
        "kernel": pack(to_numpy(kernel)),
        "noise": noise_map,
        "mask": mask,
        "residual": sky.residual,
        "asked": _asked(sky),
    }
    parts = _sample(source, shape)
    level, estimated = _level_and_noise(sky, parts, mask)
    settings["level"] = pack(level)
    sigma = estimated if sigma is None else np.broadcast_to(sigma, (shape[0],))
    if noise_map is not None:
        sigma = _typical(noise_map, parts)
    settings["sigma"] = pack(np.asarray(sigma, np.float32))
    settings["lengths"] = pack(to_numpy(_lengths(settings, parts)))
    names = ("image", "residual") if sky.residual else ("image",)
    cell = rim.config.cell()
    task = Task(
        "rimaging.tiles:tile_processor",
        settings,
        names,
        # images of the physics and their spectra; inputs, copies and features of the network
        bytes_per_pixel=4.0 * (40 + 4 * cell.inputs + 3 * cell.fine + cell.coarse),
        batch_pixels=BATCH,
    )
    tile = sky.tile or (GPU_TILE if gpus else CPU_TILE)
    unit = choose_unit(shape, tile, sky.channels)
    halo, seam = _halo(sky, task, source, Grid(shape, unit, 0), kernel, psf, parts)
    return Recipe(
        source=source,
        grid=Grid(shape, unit, halo),
        task=task,
        header=_header(source),
        notes={
            "seam error": seam,
            "assumed": notes,
            "history": f"rimaging {__version__} rim {card.get('name', path.stem)} "
            f"{card['sha256'][:12]}",
            "cards": {
                "RIMMODEL": [str(card.get("name", path.stem))[:60], "weights"],
                "RIMHASH": [card["sha256"][:16], "first digits of their sha256"],
                "RIMSTEPS": [steps, "steps of inference"],
                "RIMPSF": [round(target, 4), "FWHM of the target PSF in pixels"],
            },
        },
    )


def _resumed(sky: Sky, folder: RunFolder) -> Recipe:
    """The recipe of a run, with input and options as they are now, for `run` to compare."""
    stored = folder.recipe()
    source = describe(sky.image) if isinstance(sky.image, str | Path) else sky.image
    settings = stored.task.settings | {
        "asked": _asked(sky),
        "sha256": file_sha256(_weights_path(sky.weights)),
    }
    return replace(stored, source=source, task=replace(stored.task, settings=settings))


def _asked(sky: Sky) -> dict[str, Any]:
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


def _weights_path(weights: str | Path) -> Path:
    """Where weights lie on the disk: workers load them by path and digest."""
    shipped = SHIPPED / f"{weights}.safetensors"
    return shipped if shipped.is_file() else Path(weights).expanduser()


def _noise(
    sky: Sky, source: Description, shape: tuple[int, int, int]
) -> tuple[Description | None, NDArray[np.float32] | None]:
    """The map of the noise, or one number for each channel, or neither."""
    if isinstance(sky.noise, str | Path):
        found = describe(sky.noise)
        _check_map(found, shape, "noise")
        return found, None
    if sky.noise is None:
        return _companion(source, "ERR", shape), None
    sigma = np.asarray(to_numpy(torch.as_tensor(sky.noise)), np.float32).reshape(-1)
    if sigma.size not in (1, shape[0]) or not bool((np.isfinite(sigma) & (sigma > 0)).all()):
        raise DataError(
            f"the noise has {sigma.size} values from {sigma.min():.4g}: give one above zero, or "
            f"one for each of {shape[0]} channels"
        )
    return None, sigma


def _mask(sky: Sky, source: Description, shape: tuple[int, int, int]) -> dict[str, Any] | None:
    if sky.mask is not None:
        found = describe(sky.mask)
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


def _sample(source: Description, shape: tuple[int, int, int]) -> list[tuple[NDArray[Any], Slices]]:
    """Equal parts of the image, spread over it, all channels of each."""
    side = int(math.sqrt(SAMPLE_PIXELS / (SAMPLES * shape[0]))) // ALIGN * ALIGN
    side = max(32, min(256, side))
    height, width = min(side, shape[1]), min(side, shape[2])
    rows = _spread(shape[1], height)
    columns = _spread(shape[2], width)
    read = open_source(source).read
    everything = slice(0, shape[0])
    parts = []
    for y in rows:
        for x in columns:
            place = (everything, slice(y, y + height), slice(x, x + width))
            block = read(place)
            if np.isfinite(block).mean() > 0.1:
                parts.append((block, place))
    if not parts:
        raise DataError("a sample of the image holds no values, only NaN: is it the right plane?")
    return parts


def _spread(size: int, side: int) -> list[int]:
    """Starts of up to four stretches that do not overlap."""
    count = max(1, min(4, size // side))
    return sorted({int(start) for start in np.linspace(0, size - side, count)})


def _level_and_noise(
    sky: Sky, parts: list[tuple[NDArray[Any], Slices]], mask: dict[str, Any] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The level of the empty sky and the noise of each channel, from the sample."""
    # parts one below the other: their few borders do not move a median
    data = torch.from_numpy(np.concatenate([block for block, _ in parts], axis=1))
    good = torch.isfinite(data)
    if mask is not None:
        values = [open_source(mask["source"]).read(place) for _, place in parts]
        quality = torch.from_numpy(np.concatenate(values, axis=1))
        good &= (quality > 0.5) if mask["good"] == "one" else (quality == 0)
    data = torch.where(good, data, 0.0)
    weight = good.to(data.dtype)
    if sky.background is None:
        level = to_numpy(sky_level(data, weight)).reshape(-1)
    else:
        level = np.full(len(data), sky.background, np.float32)
    if sky.noise is not None:
        return level, np.ones(len(data), np.float32)
    sigma = [estimate_image_noise(plane, m) for plane, m in zip(data, weight, strict=True)]
    return level, np.asarray(sigma, np.float32)


def _typical(noise: Description, parts: list[tuple[NDArray[Any], Slices]]) -> NDArray[np.float32]:
    """Root of the harmonic mean variance of each channel, from the sample of a map."""
    values = np.concatenate([open_source(noise).read(place) for _, place in parts], axis=1)
    precision = np.where(np.isfinite(values) & (values > 0), values, np.inf).astype(float) ** -2.0
    count = np.maximum((precision > 0).sum(axis=(1, 2)), 1)
    mean = precision.sum(axis=(1, 2)) / count
    if not bool((mean > 0).all()):
        raise DataError(
            "the noise map holds no value above zero in a sample of it: check its units"
        )
    return np.asarray(mean**-0.5, np.float32)


def _lengths(settings: dict[str, Any], parts: list[tuple[NDArray[Any], Slices]]) -> Tensor:
    tiles = SkyTiles(settings | {"lengths": None, "residual": False})
    return recorded_lengths(tiles, parts)


def _halo(
    sky: Sky,
    task: Task,
    source: Description,
    grid: Grid,
    kernel: Tensor,
    psf: Tensor,
    parts: list[tuple[NDArray[Any], Slices]],
) -> tuple[int, float | None]:
    """The halo that was asked for or found, and its seam error in units of the noise."""
    if grid.counts[1:] == (1, 1):
        return 0, 0.0
    process = task.build()
    assert isinstance(process, SkyTiles)
    exact = exact_reach(process.rim, max(kernel.shape[-2:]) // 2, process.steps)
    exact = min(-(-exact // ALIGN) * ALIGN, -(-max(grid.shape[1:]) // ALIGN) * ALIGN)
    asked = parse_halo(sky.halo)
    if asked == -1:
        return exact, 0.0
    places = [*corners(grid, 3), *_bright(parts)]
    sigma = process.sigma.cpu().numpy()

    def error(halo: int) -> float:
        wide = min(exact, 2 * halo + 64)
        return seam_error(
            process,
            reader(source),
            grid.shape,
            places,
            (halo, wide),
            lambda unit: float(sigma[unit.core[0].start]),
        )

    if asked is not None:
        return min(asked, exact), error(min(asked, exact))
    fwhm = _fwhm(psf)
    start = likely_halo(_effective_radius(kernel), fwhm, NETWORK)
    return measured_halo(error, min(start, exact), exact, TOLERANCE)


def _bright(parts: list[tuple[NDArray[Any], Slices]]) -> list[Corner]:
    """Beside the brightest pixel of the sample: squares that end just before it."""
    peaks = []
    for block, (_, rows, columns) in parts:
        filled = np.where(np.isfinite(block), block, -np.inf)
        channel, y, x = np.unravel_index(int(filled.argmax()), block.shape)
        peaks.append((filled[channel, y, x], int(channel), rows.start + y, columns.start + x))
    _, channel, y, x = max(peaks)
    return [(channel, max(0, int(y) - 40) // ALIGN * ALIGN, max(0, int(x) - 40) // ALIGN * ALIGN)]


def _fwhm(psf: Tensor) -> float:
    """Of the widest PSF: the diameter of the disc that is above half its peak."""
    above = (psf >= psf.amax(dim=(-2, -1), keepdim=True) / 2).sum(dim=(-2, -1)).max()
    return 2 * math.sqrt(float(above) / math.pi)


def _effective_radius(kernel: Tensor) -> float:
    """The radius that holds all but 1e-3 of a kernel's absolute values."""
    height, width = kernel.shape[-2:]
    y = torch.arange(height) - height // 2
    x = torch.arange(width) - width // 2
    radius = torch.maximum(y.abs()[:, None], x.abs()[None, :])
    total = kernel.abs().sum(dim=(-2, -1))
    for reach in range(int(radius.max()) + 1):
        outside = (kernel.abs() * (radius > reach)).sum(dim=(-2, -1))
        if bool((outside <= 1e-3 * total).all()):
            return float(reach)
    return float(radius.max())


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


def _fits(output: Path) -> bool:
    return output.suffix == ".fits"


def _sample_unit(grid: Grid) -> Unit:
    """A unit in the middle, cut to at most 512 squared pixels so that the measurement is short."""
    unit = grid[len(grid) // 2]
    parts = [slice(part.start, min(part.stop, part.start + 512)) for part in unit.block[1:]]
    channels = unit.core[0]
    return Unit(-1, (channels, parts[0], parts[1]), (channels, parts[0], parts[1]))


def _small(unit: Unit) -> Unit:
    parts = [slice(part.start, min(part.stop, part.start + 64)) for part in unit.block[1:]]
    return Unit(-1, (unit.core[0], parts[0], parts[1]), (unit.core[0], parts[0], parts[1]))
