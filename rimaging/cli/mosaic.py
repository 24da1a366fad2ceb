"""Skies larger than memory: plan, verify, and the way that `deconvolve` takes for them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rimaging.cli.app import command
from rimaging.cli.options import (
    Input,
    Noise,
    Target,
    Weights,
    read_error_map,
    read_number,
    read_psf,
)
from rimaging.errors import DataError, FormatError, OptionError

if TYPE_CHECKING:
    from rimaging.mosaic.driver import Outcome, Progress
    from rimaging.mosaic.run import Workers
    from rimaging.mosaics import Sky
    from rimaging.uncertainty import ErrorMap

LARGE = 1 << 26
"""Pixels from which on `deconvolve` goes tile by tile without being asked."""

WorkersOption = Annotated[
    int | None, typer.Option("--workers", help="Tile by tile, by so many processes started here.")
]
Gpus = Annotated[str | None, typer.Option(help="One process for each GPU: all, or 0,1,2.")]
Scheduler = Annotated[
    str | None, typer.Option(help="A Dask cluster that is there, such as tls://host:8786.")
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Take a scheduler on a public address without TLS.")
]
Tile = Annotated[int | None, typer.Option(help="Side of a tile in pixels.")]
Halo = Annotated[
    str | None, typer.Option(help="auto (measured), exact, or pixels around each tile.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")]
AllowMissing = Annotated[
    bool, typer.Option("--allow-missing", help="Finish with NaN where tiles were given up.")
]


@command
def plan(
    image: Input,
    psf: Annotated[
        str,
        typer.Option(help="File (also of PSFEx), a FWHM in pixels, moffat:4.5 or gaussian:3.2."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where it would go.")] = Path(
        "out.fits"
    ),
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
    weights: Weights = "astro",
    error_map: Annotated[
        str | None, typer.Option("--error-map", help="learned: with a plane of errors.")
    ] = None,
    workers: WorkersOption = None,
    gpus: Gpus = None,
    tile: Tile = None,
    halo: Halo = None,
) -> None:
    """Say what deconvolving a mosaic takes, before anything runs."""
    from rimaging import mosaics

    sky = sky_of(
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
        error_map=read_error_map(error_map),
    )
    found = mosaics.plan(sky, workers_of(workers, gpus, None, False), output)
    for line in found.lines():
        typer.echo(line)
    found.check()


@command
def verify(
    output: Annotated[Path, typer.Argument(help="What deconvolve wrote, tile by tile.")],
) -> None:
    """Read an output again: checksums, receipts, seams."""
    from rimaging.mosaic.verify import verify as read_again

    verdicts = read_again(output)
    for line in verdicts.lines():
        typer.echo(line)
    if verdicts.problems:
        raise typer.Exit(1)


def sky_of(
    image: str,
    psf: str | None,
    noise: str | None,
    mask: str | None,
    target: float | None,
    weights: str,
    tile: int | None,
    halo: str | None,
    *,
    gain: float | None = None,
    read_noise: float | None = None,
    saturation: float | None = None,
    add_residual: bool = False,
    error_map: ErrorMap | None = None,
) -> Sky:
    """What the options say of a mosaic."""
    from rimaging import mosaics
    from rimaging.datasets.fits_open import split_extension

    width = read_psf(psf)
    if width is None:
        raise DataError(
            "tile by tile an image needs a PSF (the beam of a header is not taken): give --psf, a "
            "file, a FWHM in pixels, or moffat:4.5"
        )
    if error_map is not None and error_map != "learned":
        raise OptionError(
            "tile by tile the error is the one that the weights tell: give --error-map learned, or "
            "repetitions on a --region"
        )
    is_file = noise is not None and split_extension(noise)[0].exists()
    return mosaics.Sky(
        image=image,
        psf=width,
        noise=noise if noise is None or is_file else read_number(noise),
        mask=mask,
        target=target,
        weights=weights,
        gain=gain,
        read_noise=read_noise,
        saturation=saturation,
        add_residual=add_residual,
        error_map=error_map,
        tile=tile,
        halo=halo or "auto",
    )


def workers_of(
    count: int | None, gpus: str | None, scheduler: str | None, insecure: bool
) -> Workers:
    """Who works, from the options."""
    from rimaging.mosaic.run import Workers

    return Workers(count=count, gpus=_gpus(gpus), scheduler=scheduler, insecure=insecure)


def is_large(image: str) -> bool:
    """Whether an image has more than `LARGE` pixels; what is no plain image is not."""
    from rimaging.datasets.fits_open import split_extension
    from rimaging.mosaic.sources import check_shape, describe

    try:
        path = split_extension(image)[0]
        if path.is_file() and path.stat().st_size < LARGE // 8:
            return False
        channels, height, width = check_shape(describe(image))
    except (FormatError, OptionError, DataError):
        return False
    return channels * height * width > LARGE


def deconvolve_mosaic(
    sky: Sky,
    output: Path,
    workers: Workers,
    *,
    resume: bool,
    overwrite: bool,
    allow_missing: bool,
) -> None:
    """Deconvolve tile by tile and say what came of it; exit 1 with the units that were given up."""
    from rimaging import mosaics

    outcome = mosaics.deconvolve(
        sky,
        output,
        workers,
        resume=resume,
        overwrite=overwrite,
        allow_missing=allow_missing,
        report=reporter(),
    )
    tell(outcome, output, "tiles", allow_missing)


def tell(outcome: Outcome, output: Path | str, units: str, allow_missing: bool) -> None:
    """Say what came of a run; exit 1 with the units that were given up."""
    resumed = f", {outcome.resumed} were done before" if outcome.resumed else ""
    if not outcome.quarantined or allow_missing:
        typer.echo(f"wrote {output} ({outcome.done} {units} in {outcome.seconds:.0f} s{resumed})")
    for unit, reason in outcome.quarantined.items():
        typer.echo(f"rimaging: unit {unit} failed three times: {reason}", err=True)
    if outcome.quarantined:
        if not allow_missing:
            typer.echo(
                f"rimaging: {output} is not complete: repair what failed and --resume, or leave "
                "NaN there with --resume --allow-missing",
                err=True,
            )
        raise typer.Exit(1)


def reporter() -> Callable[[Progress, str], None]:
    """One line that renews itself in a terminal, and a line now and then elsewhere."""
    terminal = sys.stderr.isatty()
    last = [time.monotonic()]

    def report(progress: Progress, workers: str) -> None:
        ended = progress.left <= 0
        if not ended and time.monotonic() - last[0] < (0.5 if terminal else 30):
            return
        last[0] = time.monotonic()
        line = progress.line(workers)
        typer.echo(f"\r\x1b[K{line}" if terminal else line, err=True, nl=ended or not terminal)

    return report


def _gpus(text: str | None) -> list[int]:
    if text is None:
        return []
    import torch

    count = torch.cuda.device_count()
    try:
        chosen = list(range(count)) if text == "all" else [int(part) for part in text.split(",")]
    except ValueError:
        raise OptionError(f"--gpus is {text!r}: give all, or numbers such as 0,1") from None
    if not chosen or max(chosen) >= count or min(chosen) < 0:
        raise OptionError(f"--gpus {text}: torch sees {count} of them")
    return chosen
