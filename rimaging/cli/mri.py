"""MRI: recon."""

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
    read_optional,
    weights_option,
)
from rimaging.cli.output import check_outputs, finish


@command
def recon(
    kspace: Input,
    output: Output,
    mask: Annotated[str | None, typer.Option(help="File with the sampling mask.")] = None,
    maps: Annotated[str | None, typer.Option(help="File with coil maps; else ESPIRiT.")] = None,
    noise: Noise = None,
    weights: Annotated[str, weights_option("mri")] = "mri",
    method: Method = "rim",
    sets: Annotated[int, typer.Option(help="Map sets; 2 if the object leaves the view.")] = 1,
    steps: Annotated[int | None, typer.Option(help="Inference steps.")] = None,
    report: Page = None,
    overwrite: Overwrite = False,
) -> None:
    """Reconstruct an MR image from undersampled k-space."""
    check_outputs(output, report, overwrite)
    from rimaging import mri

    result = mri.reconstruct(
        kspace,
        mask=read_mask(mask),
        maps=read_optional(maps, ("maps", "mps", "smaps", "csm", "sensitivities")),
        noise=read_noise(noise),
        weights=weights,
        method=method,  # type: ignore[arg-type] # the door names those that exist
        sets=sets,
        steps=steps,
    )
    finish(result, output, report, overwrite)
