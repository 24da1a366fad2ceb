"""Astronomy: whether a deconvolution can be trusted on this image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rimaging.cli.app import command
from rimaging.cli.options import (
    AddResidual,
    Ensemble,
    Input,
    Method,
    Noise,
    NoiseCorrelation,
    Overwrite,
    Target,
    Weights,
    read_error_map,
    read_mask,
    read_noise,
    read_psf,
)
from rimaging.errors import FormatError


@command
def validate(
    image: Input,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write a page of plots (.html).")
    ] = None,
    psf: Annotated[
        str | None,
        typer.Option(
            help="File, file.fits[PSF], a FWHM in pixels, moffat:4.5, gaussian:3.2, or stars."
        ),
    ] = None,
    noise: Noise = None,
    mask: Annotated[str | None, typer.Option(help="File, 1 where pixels are good.")] = None,
    target: Target = None,
    weights: Weights = "astro",
    method: Method = "rim",
    band: Annotated[int | None, typer.Option(help="Plane of a cube, from 0; the middle.")] = None,
    size: Annotated[int | None, typer.Option(help="Side of the cut-out; 512 by default.")] = None,
    error_map: Annotated[
        str | None,
        typer.Option(
            "--error-map",
            help="What gate 8 judges: learned (the default), of so many repetitions, or none.",
        ),
    ] = None,
    add_residual: AddResidual = False,
    ensemble: Ensemble = False,
    noise_correlation: NoiseCorrelation = None,
    quick: Annotated[bool, typer.Option("--quick", help="128 pixels and fewer sources.")] = False,
    seed: Annotated[int, typer.Option(help="Of the places of injected sources.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a gate fails.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Try a deconvolution on sources injected into your image."""
    if output is not None:
        if output.suffix.lower() != ".html":
            raise FormatError(f"{output.name!r} is no .html: the page of plots is one")
        if output.exists() and not overwrite:
            raise FormatError(f"{output.name!r} exists: choose another name, or give --overwrite")
        if not output.parent.is_dir():
            raise FormatError(f"the folder of {output.name!r} does not exist: create it first")
    from rimaging.validate.run import validate as run

    result = run(
        image,
        read_psf(psf),
        noise=read_noise(noise),
        mask=read_mask(mask),
        target=target,
        weights=weights,
        method=method,  # type: ignore[arg-type] # the door names those that exist
        band=band,
        size=size,
        error_map="auto" if error_map is None else read_error_map(error_map),
        add_residual=add_residual,
        ensemble=ensemble,
        noise_correlation=noise_correlation,
        quick=quick,
        seed=seed,
    )
    for name, value in result.facts.items():
        for line in value if isinstance(value, list) else [value]:
            typer.echo(f"{name}: {line}")
    typer.echo(result.text())
    if output is not None:
        typer.echo(f"wrote {result.report(output)}")
    if strict and not result.passed:
        raise typer.Exit(1)
