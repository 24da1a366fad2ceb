"""Astronomy: deconvolve."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rimaging.cli.app import command
from rimaging.cli.mosaic import (
    AllowMissing,
    Gpus,
    Halo,
    Insecure,
    Resume,
    Scheduler,
    Tile,
    WorkersOption,
    deconvolve_mosaic,
    is_large,
    sky_of,
    workers_of,
)
from rimaging.cli.options import (
    AddResidual,
    Ensemble,
    Input,
    Method,
    Noise,
    NoiseCorrelation,
    Overwrite,
    Page,
    ShowSteps,
    Target,
    Weights,
    read_error_map,
    read_number,
    read_psf,
)
from rimaging.cli.output import check_distinct, check_outputs, finish
from rimaging.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor

    from rimaging.datasets.section import Section
    from rimaging.uncertainty import Auto

ENDINGS = r"(\.(fits|fit|fts|fz|gz|bz2|asdf|zarr|npz|npy|tiff?|png))+$"


@command
def deconvolve(
    image: Input,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="By default NAME_rim.fits in this folder."),
    ] = None,
    psf: Annotated[
        str | None,
        typer.Option(
            help="File, file.fits[PSF], a FWHM in pixels, moffat:4.5, gaussian:3.2, stars: from "
            "the image's own, or beam: of the header."
        ),
    ] = None,
    noise: Noise = None,
    mask: Annotated[str | None, typer.Option(help="File, 1 where pixels are good.")] = None,
    target: Target = None,
    gain: Annotated[
        float | None, typer.Option(help="Electrons per unit: photon noise in place of --noise.")
    ] = None,
    read_noise: Annotated[float | None, typer.Option(help="Electrons; with --gain.")] = None,
    saturation: Annotated[
        float | None, typer.Option(help="Pixels from it on are masked; else SATURATE says.")
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(help="Only x0:x1,y0:y1 (from 0, ends excluded), or a DS9 region or its file."),
    ] = None,
    channels: Annotated[
        str | None, typer.Option(help="Only the channels a:b (from 0, end excluded).")
    ] = None,
    weights: Weights = "astro",
    method: Method = "rim",
    report: Page = None,
    show_steps: ShowSteps = None,
    error_map: Annotated[
        str | None,
        typer.Option(
            "--error-map",
            help="ERR: learned, of so many repetitions, or none. As the weights tell it by default "
            "(tile by tile only where asked for).",
        ),
    ] = None,
    add_residual: AddResidual = False,
    ensemble: Ensemble = False,
    noise_correlation: NoiseCorrelation = None,
    overwrite: Overwrite = False,
    workers: WorkersOption = None,
    gpus: Gpus = None,
    scheduler: Scheduler = None,
    insecure: Insecure = False,
    tile: Tile = None,
    halo: Halo = None,
    resume: Resume = False,
    allow_missing: AllowMissing = False,
) -> None:
    """Deconvolve a telescope image.

    Images of more than 64 megapixels, and those for which workers, GPUs, a scheduler, a tile or a
    halo are given, go tile by tile: see `rimaging plan` and `rimaging verify`.
    """
    output = default_output(image) if output is None else output
    check_distinct([output], [image, psf, noise, mask])
    sure = read_error_map(error_map)
    given = (workers, gpus, scheduler, tile, halo)
    by_tile = resume or allow_missing or any(option is not None for option in given)
    whole = region is None and channels is None and method == "rim"
    whole = whole and report is None and show_steps is None and not ensemble
    if by_tile or (whole and (sure is None or sure == "learned") and is_large(image)):
        if noise_correlation is not None:
            raise OptionError(
                "tile by tile a correlation of the noise is found by itself where --noise is left "
                "out: leave out both, or try --noise-correlation on a --region"
            )
        if not whole:
            raise OptionError(
                "tile by tile, an image goes whole, by the RIM, without report, film and ensemble: "
                "leave out --region, --channels, --method, --report, --show-steps and --ensemble"
            )
        deconvolve_mosaic(
            sky_of(
                image,
                psf,
                noise,
                mask,
                target,
                weights,
                tile,
                halo,
                gain=gain,
                read_noise=read_noise,
                saturation=saturation,
                add_residual=add_residual,
                error_map=sure,
            ),
            output,
            workers_of(workers, gpus, scheduler, insecure),
            resume=resume,
            overwrite=overwrite,
            allow_missing=allow_missing,
        )
        return
    inputs = (image, psf, noise, mask)
    check_outputs(output, report, overwrite, show_steps, error_map, inputs)
    from rimaging import astro
    from rimaging.datasets.open import open as open_measurement

    sky = open_measurement(image, kind="sky", region=region, channels=channels)
    result = astro.deconvolve(
        sky,
        read_psf(psf),
        noise=_noise(noise, sky.section),
        mask=_mask(mask, sky.section),
        target=target,
        gain=gain,
        read_noise=read_noise,
        saturation=saturation,
        weights=weights,
        method=method,  # type: ignore[arg-type] # the door names those that exist
        keep_steps=show_steps is not None,
        error_map=_default_error(output) if error_map is None else sure,
        add_residual=add_residual,
        ensemble=ensemble,
        noise_correlation=noise_correlation,
    )
    finish(result, output, report, overwrite, show_steps=show_steps)


def default_output(image: str) -> Path:
    """``NAME_rim.fits`` in the present folder, for an image of that name."""
    name = Path(re.sub(r"\[[^\[\]]*\]$", "", image)).name
    return Path(re.sub(ENDINGS, "", name, flags=re.IGNORECASE) + "_rim.fits")


def _default_error(output: Path) -> Auto | None:
    """What the weights tell, where the file has a place for it."""
    from rimaging.datasets.losses import HOLDS_UNCERTAINTY

    return "auto" if output.name.lower().endswith(HOLDS_UNCERTAINTY) else None


def _noise(text: str | None, section: Section | None) -> float | Tensor | None:
    """A number, or sigma per pixel from a file, on the pixels that were read."""
    from rimaging.datasets.fits_open import split_extension
    from rimaging.datasets.fits_psf import read_fits_noise
    from rimaging.datasets.open import open_array, sniff

    if text is None:
        return None
    if not split_extension(text)[0].is_file():
        return read_number(text)
    if sniff(split_extension(text)[0]) == "fits":
        return read_fits_noise(text, section)
    return open_array(text, "noise", section)


def _mask(path: str | None, section: Section | None) -> Tensor | None:
    """0 and 1, on the pixels that were read; of a picture, white is 1."""
    if path is None:
        return None
    from rimaging.datasets.open import open_array

    mask = open_array(path, "mask", section)
    return (mask > 0.5).to(mask.dtype)
