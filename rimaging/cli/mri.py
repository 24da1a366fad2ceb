"""MRI: recon."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from rimaging.cli.app import command
from rimaging.cli.mosaic import (
    Gpus,
    Insecure,
    Resume,
    Scheduler,
    reporter,
    tell,
    workers_of,
)
from rimaging.cli.options import (
    Ensemble,
    ErrorMapOption,
    Overwrite,
    Page,
    ShowSteps,
    Weights,
    read_error_map,
    read_mask,
    read_noise,
    read_optional,
)
from rimaging.cli.output import check_outputs, finish
from rimaging.errors import OptionError


@command
def recon(
    kspace: Annotated[
        str, typer.Argument(help="k-space: ISMRMRD, fastMRI, BART, MATLAB, twix, .npz or .npy.")
    ],
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
    noise: Annotated[
        str | None, typer.Option(help="Sigma: a number or a file; else from k-space.")
    ] = None,
    weights: Weights = "mri",
    method: Annotated[
        str,
        typer.Option(
            help="rim, or to compare with: zero-filled, cg-sense, l1-wavelet, tv, grappa or pocs."
        ),
    ] = "rim",
    sets: Annotated[
        int | None, typer.Option(help="Map sets, 1 or 2; by default as the data have it.")
    ] = None,
    frames: Annotated[
        bool, typer.Option("--frames", help="Frames of a film, which share their coil maps.")
    ] = False,
    steps: Annotated[int | None, typer.Option(help="Inference steps.")] = None,
    ensemble: Ensemble = False,
    adapt: Annotated[
        int | None,
        typer.Option(min=1, help="Fit the network to this scan first, by so many iterations: 60."),
    ] = None,
    add_residual: Annotated[
        bool,
        typer.Option(
            "--add-residual", help="Keep every measured sample in the coil images, noise included."
        ),
    ] = False,
    like: Annotated[
        str | None,
        typer.Option(help="Folder of a DICOM series of this scan, to write one like it."),
    ] = None,
    report: Page = None,
    show_steps: ShowSteps = None,
    error_map: ErrorMapOption = None,
    overwrite: Overwrite = False,
    workers: Annotated[
        int | None, typer.Option(help="Slice by slice, by so many processes started here.")
    ] = None,
    gpus: Gpus = None,
    scheduler: Scheduler = None,
    insecure: Insecure = False,
    resume: Resume = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Finish with NaN where slices were given up.")
    ] = False,
) -> None:
    """Reconstruct an MR image from undersampled k-space.

    With workers, GPUs or a scheduler slice by slice, frame by frame: what is stopped goes on with
    --resume.
    """
    inputs = (kspace, mask, maps, noise, like)
    check_outputs(output, report, overwrite or resume, show_steps, error_map, inputs)
    from rimaging import mri
    from rimaging.datasets.capacity import check_capacity, check_place
    from rimaging.datasets.dicom_series import read_series
    from rimaging.datasets.folder import is_folder
    from rimaging.datasets.lead_axes import with_frames
    from rimaging.datasets.losses import error_file, losses
    from rimaging.datasets.sources import as_measurement
    from rimaging.progress import counting

    check_place(output, overwrite=overwrite or resume)
    if like is not None:
        if not is_folder(output):
            raise OptionError(f"--like is for DICOM, {output!r} is none: write -o dicom/")
        read_series(like)  # refused now rather than after the reconstruction
    measured, sigma = read_mask(mask), read_noise(noise)
    coils = read_optional(maps, ("maps", "mps", "smaps", "csm", "sensitivities"))
    if resume or allow_missing or any(given is not None for given in (workers, gpus, scheduler)):
        if report is not None or show_steps is not None:
            raise OptionError(
                "slice by slice there is no report: leave out --report and --show-steps"
            )
        if adapt is not None:
            raise OptionError(
                "slices are not adapted one by one: `rimaging adapt` the scan first, then give "
                "what it wrote as --weights"
            )
        outcome = mri.reconstruct_to(
            mri.Scan(
                kspace=kspace,
                mask=measured,
                maps=coils,
                noise=sigma,
                weights=weights,
                method=method,  # type: ignore[arg-type] # the door names those that exist
                sets=sets,
                frames=frames,
                steps=steps,
                ensemble=ensemble,
                add_residual=add_residual,
                error_map=read_error_map(error_map),
            ),
            output,
            workers_of(workers, gpus, scheduler, insecure),
            like=like,
            resume=resume,
            overwrite=overwrite,
            allow_missing=allow_missing,
            report=reporter(),
        )
        tell(outcome, output, "frames" if frames else "slices", allow_missing)
        typer.echo(f"  chi2 {outcome.chi2:.3f} per measured value")
        for lost in outcome.lost:
            typer.echo(f"  {lost}")
        beside = error_file(output) if read_error_map(error_map) is not None else None
        if beside is not None:
            typer.echo(f"wrote {beside} (standard deviation of each voxel)")
        return
    scan = as_measurement(kspace, "kspace")
    check_capacity(output, with_frames(scan) if frames else scan, like=like)  # likewise
    if adapt is not None:
        typer.echo(f"rimaging: fits the network to the scan, {adapt} iterations", err=True)
    with counting("adapting", adapt) if adapt else nullcontext() as done:
        result = mri.reconstruct(
            scan,
            mask=measured,
            maps=coils,
            noise=sigma,
            weights=weights,
            method=method,  # type: ignore[arg-type] # the door names those that exist
            keep_steps=show_steps is not None,
            error_map=read_error_map(error_map),
            sets=sets,
            frames=frames,
            steps=steps,
            ensemble=ensemble,
            adapt=adapt,
            add_residual=add_residual,
            on_iteration=done,
        )
    finish(result, output, report, overwrite, like, show_steps)
    for lost in losses(output, result.image, result.measurement):
        typer.echo(f"  {lost}")
