"""Astronomy: deconvolve."""

from __future__ import annotations

from typing import Annotated

import typer

from rimaging.cli.app import command
from rimaging.cli.options import (
    Input,
    Method,
    Noise,
    Output,
    Overwrite,
    Page,
    read_mask,
    read_noise,
    read_psf,
    weights_option,
)
from rimaging.cli.output import check_outputs, finish


@command
def deconvolve(
    image: Input,
    output: Output,
    psf: Annotated[
        str | None,
        typer.Option(help="A file, a FWHM in pixels, gaussian:FWHM or moffat:FWHM:BETA."),
    ] = None,
    noise: Noise = None,
    mask: Annotated[str | None, typer.Option(help="File, 1 where pixels are good.")] = None,
    target: Annotated[
        float | None, typer.Option(help="FWHM in pixels of the image that is sought; 2 by default.")
    ] = None,
    weights: Annotated[str, weights_option("astro")] = "astro",
    method: Method = "rim",
    report: Page = None,
    overwrite: Overwrite = False,
) -> None:
    """Deconvolve a telescope image."""
    check_outputs(output, report, overwrite)
    from rimaging import astro

    result = astro.deconvolve(
        image,
        read_psf(psf),
        noise=read_noise(noise),
        mask=read_mask(mask),
        target=target,
        weights=weights,
        method=method,  # type: ignore[arg-type] # the door names those that exist
    )
    finish(result, output, report, overwrite)
