"""Astronomy: images from the visibilities of a radio interferometer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from rimaging.cli.app import command
from rimaging.cli.options import Overwrite, Page, Weights
from rimaging.cli.output import DOUBTFUL, check_outputs, finish
from rimaging.errors import OptionError


@command
def radio(
    visibilities: Annotated[
        str, typer.Argument(help="uvfits, or a table (.csv) of the Event Horizon Telescope.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Where the image goes (.fits has it all).")
    ],
    size: Annotated[
        int | None, typer.Option(help="Pixels of a side; else from the shortest baseline.")
    ] = None,
    pixel: Annotated[
        str | None,
        typer.Option(
            help="Side of a pixel: 1uas, 0.2mas, 2arcsec; else from the longest baseline."
        ),
    ] = None,
    weighting: Annotated[
        str, typer.Option(help="natural, uniform, or briggs:0.5 (of dirty image, CLEAN and beam).")
    ] = "natural",
    method: Annotated[
        str, typer.Option(help="mem (positive), clean, tv, rim (as a prior) or dirty.")
    ] = "mem",
    uncalibrated: Annotated[
        bool,
        typer.Option(
            "--uncalibrated", help="Gains unknown: image closure quantities, then self-calibrate."
        ),
    ] = False,
    gain_spread: Annotated[
        float,
        typer.Option(help="With --uncalibrated: how well log |gain| is known; 0: not at all."),
    ] = 0.2,
    min_baseline: Annotated[
        float, typer.Option(help="Leave shorter baselines out, in wavelengths, such as 1e8.")
    ] = 0.0,
    systematic: Annotated[
        float, typer.Option(help="Noise to add, relative to the amplitude, such as 0.02.")
    ] = 0.0,
    flux: Annotated[
        float | None, typer.Option(help="Of the field, in Jy, for mem; else shortest baselines.")
    ] = None,
    weights: Weights = "astro",
    report: Page = None,
    overwrite: Overwrite = False,
) -> None:
    """Image the visibilities of a radio interferometer."""
    check_outputs(output, report, overwrite, inputs=(visibilities,))
    scheme, _, robust = weighting.partition(":")
    try:
        chosen = (scheme, float(robust)) if robust else scheme
    except ValueError:
        raise OptionError(f"{weighting!r} is no weighting: such as briggs:0.5") from None
    from rimaging import astro

    result = astro.image(
        visibilities,
        size=size,
        pixel=pixel,
        weighting=chosen,  # type: ignore[arg-type] # the door names those that exist
        method=method,  # type: ignore[arg-type]
        calibrated=not uncalibrated,
        gain_spread=gain_spread or None,
        min_baseline=min_baseline,
        systematic=systematic,
        flux=flux,
        weights=weights,
    )
    facts = result.provenance
    for note in facts["assumed"]:
        typer.echo(f"note: {note}")
    major, minor, angle = facts["beam_pixels"]
    scale = facts["pixel_arcsec"]
    typer.echo(
        f"beam {major * scale:.4g} x {minor * scale:.4g} arcsec at {angle:.0f} deg, "
        f"model {facts['flux_jy']:.4g} Jy, noise {facts['noise_jy_per_beam']:.3g} Jy/beam"
    )
    finish(result, output, report, overwrite)
    if result.chi2 > DOUBTFUL and method != "dirty":
        typer.echo(
            f"rimaging: warning: the model leaves {math.sqrt(result.chi2):.2g} times the noise of "
            "the visibilities: they are not calibrated (--uncalibrated), the field misses light "
            "(--size, --min-baseline), or their weights are no 1 / sigma^2 (--systematic)",
            err=True,
        )
