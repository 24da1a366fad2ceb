"""MRI: recon."""

from __future__ import annotations

from typing import Annotated

import typer

from rimaging.cli.app import command
from rimaging.cli.options import (
    ErrorMap,
    Input,
    Method,
    Noise,
    Overwrite,
    Page,
    ShowSteps,
    read_mask,
    read_noise,
    read_optional,
    weights_option,
)
from rimaging.cli.output import check_outputs, finish
from rimaging.errors import OptionError


@command
def recon(
    kspace: Input,
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            help="Where the image goes: the suffix says the format; dicom/ a folder.",
        ),
    ],
    mask: Annotated[str | None, typer.Option(help="File with the sampling mask.")] = None,
    maps: Annotated[str | None, typer.Option(help="File with coil maps; else ESPIRiT.")] = None,
    noise: Noise = None,
    weights: Annotated[str, weights_option("mri")] = "mri",
    method: Method = "rim",
    sets: Annotated[
        int | None, typer.Option(help="Map sets, 1 or 2; by default as the data have it.")
    ] = None,
    frames: Annotated[
        bool, typer.Option("--frames", help="Frames of a film, which share their coil maps.")
    ] = False,
    steps: Annotated[int | None, typer.Option(help="Inference steps.")] = None,
    like: Annotated[
        str | None,
        typer.Option(help="Folder of a DICOM series of this scan, to write one like it."),
    ] = None,
    report: Page = None,
    show_steps: ShowSteps = None,
    error_map: ErrorMap = None,
    overwrite: Overwrite = False,
) -> None:
    """Reconstruct an MR image from undersampled k-space."""
    check_outputs(output, report, overwrite, show_steps, error_map)
    from rimaging import mri
    from rimaging.datasets.dicom_series import read_series
    from rimaging.datasets.folder import is_folder
    from rimaging.datasets.losses import losses

    if like is not None:
        if not is_folder(output):
            raise OptionError(f"--like is for DICOM, {output!r} is none: write -o dicom/")
        read_series(like)  # refused now rather than after the reconstruction

    result = mri.reconstruct(
        kspace,
        mask=read_mask(mask),
        maps=read_optional(maps, ("maps", "mps", "smaps", "csm", "sensitivities")),
        noise=read_noise(noise),
        weights=weights,
        method=method,  # type: ignore[arg-type] # the door names those that exist
        keep_steps=show_steps is not None,
        error_map=error_map,
        sets=sets,
        frames=frames,
        steps=steps,
    )
    finish(result, output, report, overwrite, like, show_steps)
    for lost in losses(output, result.image, result.measurement):
        typer.echo(f"  {lost}")
