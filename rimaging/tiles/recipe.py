"""From what is asked of a sky to everything that decides the values of the output."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rimaging import __version__
from rimaging.datasets.fits_beams import beams_table, read_beams
from rimaging.datasets.fits_header import carried
from rimaging.datasets.fits_open import open_fits
from rimaging.datasets.target_beam import TargetBeam, target_beam, with_target_beam
from rimaging.datasets.varying_psf import VaryingPsf
from rimaging.errors import OptionError, ShapeError
from rimaging.mosaic.folder import Recipe
from rimaging.mosaic.sources import Description, check_shape, open_source
from rimaging.mosaic.task import Task, pack
from rimaging.mosaic.tiles import Grid, choose_unit
from rimaging.operators.target import largest_target, relative_kernel
from rimaging.reports.arrays import to_numpy
from rimaging.rim.blocks import working_bytes
from rimaging.rim.weights import SHIPPED, load_weights
from rimaging.tiles.blur import AT_ONCE, pack_blur
from rimaging.tiles.inputs import background_of, masks_of, noise_of, packed, saturation_of
from rimaging.tiles.processor import BATCH, SkyTiles
from rimaging.tiles.sample import Read, facts_of
from rimaging.tiles.sky import Sky, asked
from rimaging.tiles.width import find_halo, is_whole

if TYPE_CHECKING:
    from astropy.io.fits import Header

__all__ = [
    "CPU_TILE",
    "GPU_TILE",
    "TASK",
    "Sky",
    "asked",
    "beside",
    "examples",
    "recipe_for",
    "settings_of",
    "target_of",
    "weights_path",
]

CPU_TILE, GPU_TILE = 1536, 4096
TASK = "rimaging.tiles.processor:tile_processor"


def recipe_for(
    sky: Sky,
    source: Description,
    psf: Tensor | VaryingPsf,
    target: float,
    *,
    name: str = "given",
    gpus: bool = False,
) -> Recipe:
    """Everything that decides the values of the output, from a sample of the sky.

    Args:
        sky: what to do. source: of its image. psf: ``(1 or channel, y, x)`` of sum 1, odd, or one
            that varies. target: FWHM in pixels. name: of the PSF, for the header.
        gpus: choose the tile for a GPU.
    """
    shape = check_shape(source)
    read = open_source(source).read
    tile = (GPU_TILE if gpus else CPU_TILE) if sky.tile is None else sky.tile
    unit = choose_unit(shape, tile, sky.channels)
    settings = settings_of(sky, source, Grid(shape, unit, 0), psf, target, read)
    process = SkyTiles(settings)
    halo, seam = find_halo(sky.halo, process, read, Grid(shape, unit, 0), examples(psf, shape))
    grid = Grid(shape, unit, halo)
    card = process.card
    header = _header(source)
    beam = None if header is None else _beam_of(source, header, psf, target)
    if beam is not None and beam.unit is not None:
        # after the halo, whose error is told in units of the noise
        settings = settings | {"per_beam": pack(_of_channels(beam, source))}
    weights = str(card.get("name", "unnamed"))[:60]
    return Recipe(
        source=source,
        grid=grid,
        task=Task(
            TASK,
            settings,
            planes_of(sky),
            bytes_per_pixel=_bytes_per_pixel(process, grid, "cuda" if gpus else "cpu"),
            batch_pixels=BATCH,
        ),
        header="" if header is None else _text(with_target_beam(header, beam)),
        notes={
            "seam error": seam,
            "extensions": _tables(beam),
            "history": f"rimaging {__version__} rim {weights} {card['sha256'][:12]}",
            "cards": {
                "RIMMODEL": [weights, "weights"],
                "RIMHASH": [card["sha256"][:16], "first digits of their sha256"],
                "RIMSTEPS": [process.steps, "steps of inference"],
                "RIMPSF": [name[:60], "where the PSF came from"],
                "PSFFWHM": [round(target, 4), "[pixel] FWHM of the PSF of SCI"],
                **({"RIMADD": [True, "residual put back"]} if sky.add_residual else {}),
            },
        },
    )


def planes_of(sky: Sky) -> tuple[str, ...]:
    """The names of what comes out, in the order of a file's extensions."""
    wanted = {"uncertainty": sky.error_map is not None, "residual": sky.residual}
    return ("image", *(name for name, asked_for in wanted.items() if asked_for))


def examples(psf: Tensor | VaryingPsf, shape: tuple[int, int, int]) -> Tensor:
    """PSFs of all channels, or from all over the image, ``(n, y, x)``."""
    return psf.samples(shape[1:]) if isinstance(psf, VaryingPsf) else psf


def target_of(psfs: Tensor, asked_for: float | None, default: float) -> float:
    """The FWHM of the target: what is asked for, or the default, or the largest that all allow.

    Raises DataError for a PSF narrower than what is asked for.
    """
    groups = psfs.split(AT_ONCE)  # in double precision and thrice the size, not all at once
    if asked_for is None:
        return min(largest_target(some, default) for some in groups)
    for some in groups:
        relative_kernel(some, asked_for)
    return float(asked_for)


def settings_of(
    sky: Sky,
    source: Description,
    grid: Grid,
    psf: Tensor | VaryingPsf,
    target: float,
    read: Read,
) -> dict[str, Any]:
    """The settings of `SkyTiles`, the same for every tile.

    Raises ShapeError for PSFs that are not one or one for each channel, DataError for noise that is
    not above zero, OptionError for weights of several channels.
    """
    shape = grid.shape
    if isinstance(psf, Tensor) and len(psf) not in (1, shape[0]):
        raise ShapeError(
            f"{len(psf)} PSFs came for {shape[0]} channels: give one for all, or one for each"
        )
    path = weights_path(sky.weights)
    rim, card = load_weights(path)
    if rim.config.complex or rim.config.channels != 1:
        raise OptionError("mosaics take weights for one real channel, such as 'astro'")
    if not (rim.config.chebyshev or is_whole(grid)):
        raise OptionError(
            f"weights {str(sky.weights)!r} solve by conjugate gradients, whose step lengths are of "
            "a whole image and not of a tile: take weights with chebyshev = true, such as 'astro'"
        )
    if sky.error_map is not None:
        rim.checked_error_head(sky.add_residual)
    if sky.gain is not None and sky.noise is not None:
        raise OptionError("noise and gain say the same thing twice: give one of them")
    if sky.gain is None and sky.read_noise is not None:
        raise OptionError("read_noise needs gain=, electrons per unit: or give noise=sigma")
    maps, sigma, level = beside(sky, source, shape)
    estimated = sky.gain is None and maps["noise"] is None and sigma is None
    if sky.error_map is not None and sky.add_residual and estimated:
        raise OptionError(
            "noise that is estimated may correlate, and then the learned error of an image with "
            "its residual is not that of its pixels: give the noise, or leave out one of the two"
        )
    settings: dict[str, Any] = {
        "weights": str(path.resolve()),
        "sha256": card["sha256"],
        "steps": rim.config.steps if sky.steps is None else sky.steps,
        "blur": pack_blur(psf, target),
        "psf": pack(to_numpy(examples(psf, shape)[0]).astype("float32")),
        **maps,
        "saturation": saturation_of(sky.saturation, source),
        "gain": sky.gain,
        "read_noise": sky.read_noise or 0.0,
        "residual": sky.residual,
        "uncertainty": sky.error_map is not None,
        "add_residual": sky.add_residual,
        "asked": asked(sky),
        "level": packed(level),
        "factor": packed(sigma),
        "scale": None,
        "footprint": None,
        "channels": shape[0],
    }
    if is_whole(grid):
        return settings  # every channel is seen whole, and has its own
    facts = facts_of(SkyTiles(settings), read, shape)
    return settings | {
        "level": pack(facts.level),
        "factor": pack(facts.factor),
        "scale": pack(facts.scale),
        "footprint": pack(facts.footprint),
    }


def beside(
    sky: Sky, source: Description, shape: tuple[int, int, int]
) -> tuple[dict[str, Any], NDArray[np.float32] | None, NDArray[np.float32] | None]:
    """The maps that a sky comes with, settings of `SkyTiles`; its noise and level as numbers."""
    noise, sigma = noise_of(sky.noise, source, shape) if sky.gain is None else (None, None)
    background, level = background_of(sky.background, shape)
    masks = masks_of(sky.mask, source, shape)
    return {"noise": noise, "masks": masks, "background": background}, sigma, level


def _bytes_per_pixel(process: SkyTiles, grid: Grid, device: str) -> float:
    """Images of the physics and their spectra; what the network holds."""
    terms = process.blur.terms(grid)
    # of each term of a PSF that varies: its weight, the weighted image, mirrored, and its spectra
    varying = 10.0 * terms if terms > 1 else 0.0
    _, height, width = grid.largest_block
    pixels = max(height * width, BATCH)
    layers = working_bytes(process.rim.cell.widest, pixels) if device == "cpu" else 0.0
    return 4.0 * (40 + varying) + process.rim.bytes_per_pixel(device) + layers / pixels


def weights_path(weights: str | Path) -> Path:
    """Where weights lie on the disk: workers load them by path and digest."""
    shipped = SHIPPED / f"{weights}.safetensors"
    return shipped if shipped.is_file() else Path(weights).expanduser()


def _header(source: Description) -> Header | None:
    """The cards of the input that stay true of the output, but for its beam."""
    if "header" not in source:
        return None
    from astropy.io import fits

    header = fits.Header.fromstring(source["header"], sep="\n")
    full = tuple(source["full_shape"])
    return carried(header, full, full)


def _text(header: Header) -> str:
    text: str = header.tostring(sep="\n", padding=False)
    return text


def _beam_of(
    source: Description, header: Header, psf: Tensor | VaryingPsf, target: float
) -> TargetBeam | None:
    """What the target makes of the beam of a FITS image, as for one that is read whole."""
    path, shape = Path(source["path"]), tuple(source["full_shape"])
    with open_fits(path) as file:
        beams = read_beams(file.hdus, header, shape, path.name, [])
    if isinstance(psf, VaryingPsf):
        psf = psf.at(*((n - 1) / 2 for n in shape[-2:]))
    elif len(psf) > 1:
        psf = psf.reshape(*shape[:-2], *psf.shape[-2:])
    units = header.get("BUNIT")
    return target_beam(header, shape, units and str(units), beams, to_numpy(psf), target)


def _of_channels(beam: TargetBeam, source: Description) -> NDArray[np.float32]:
    """The factor of each channel, ``(channel,)``."""
    lead = source["full_shape"][:-2]
    return np.broadcast_to(beam.factor, (*lead, 1, 1)).reshape(-1).astype(np.float32)


def _tables(beam: TargetBeam | None) -> list[str]:
    """The BEAMS of the output, an extension as it stands in a file, in base64; none of one beam."""
    if beam is None or beam.beams is None or not beam.beams.table:
        return []
    from astropy.io import fits

    primary = fits.PrimaryHDU()
    file = io.BytesIO()
    fits.HDUList([primary, beams_table(beam.beams)]).writeto(file, checksum=True)
    return [base64.b64encode(file.getvalue()[2880:]).decode()]
