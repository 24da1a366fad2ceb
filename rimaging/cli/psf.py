"""Astronomy: the PSF of an image from its own stars."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rimaging.cli.app import command
from rimaging.cli.options import Input, Overwrite, read_mask
from rimaging.cli.output import check_distinct
from rimaging.errors import FormatError


@command
def psf(
    image: Input,
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the PSF goes (.fits).")],
    mask: Annotated[str | None, typer.Option(help="File, 1 where pixels are good.")] = None,
    saturation: Annotated[
        float | None, typer.Option(help="Stars with brighter pixels are left out.")
    ] = None,
    side: Annotated[int | None, typer.Option(help="Pixels of the PSF; 7 FWHM by default.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Estimate the PSF of an image from its stars (needs photutils)."""
    if output.suffix.lower() != ".fits":
        raise FormatError(f"{output.name!r} is no .fits: the PSF is written as one")
    if output.exists() and not overwrite:
        raise FormatError(f"{output.name!r} exists: choose another name, or give --overwrite")
    if not output.parent.is_dir():
        raise FormatError(f"the folder of {output.name!r} does not exist: create it first")
    check_distinct([output], [image, mask])
    from rimaging import __version__
    from rimaging.datasets.epsf import psf_of_stars, write_psf
    from rimaging.datasets.sources import as_measurement

    sky = as_measurement(image, "sky", mask=read_mask(mask))
    found = psf_of_stars(sky, saturation=saturation, side=side)
    write_psf(output, found, sky.header, version=__version__)
    planes = sky.data.shape[:-2].numel()
    if planes > 1:
        typer.echo(
            f"rimaging: note: this is the PSF of the first of {planes} planes: deconvolve --psf "
            "stars finds that of each",
            err=True,
        )
    rows, columns = found.psf.shape
    typer.echo(
        f"wrote {output} ({rows} x {columns}): FWHM {found.fwhm:.3f} pixels, ellipticity "
        f"{found.ellipticity:.3f}, from {found.stars} of {found.found} stars, peaks below "
        f"{found.saturation:.6g}"
    )
