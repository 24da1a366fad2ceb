"""What helps beside the doors: inspect, demo, doctor, benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rimaging.cli.app import command
from rimaging.errors import FormatError, OptionError

TABLES = {
    "denoise": "image",
    "sr": "super-resolution",
    "projections": "image-any",
    "deblur": "deblur",
    "inpaint": "inpainting",
    "care": "care",
    "features": "features",
    "mri": "mri",
    "robustness": "mri",
    "radial": "mri",
    "astro": "astro",
}
"""The tables of docs/results.md, modules of `rimaging.benchmark`, and the weights of each."""


@command
def inspect(
    path: Annotated[str, typer.Argument(help="A file; file.fits[SCI] names an extension.")],
) -> None:
    """Say what a file holds."""
    from rimaging.datasets.inspect import inspect as look

    lines = look(path)
    width = max(map(len, lines))
    for name, text in lines.items():
        typer.echo(f"{name:<{width}}  {text}")


@command
def demo(
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("rimaging-demo"),
) -> None:
    """Compare on a sky, a scan and a photograph."""
    from rimaging.demo import main as run

    run(out)


@command
def doctor() -> None:
    """Check the installation."""
    from rimaging.doctor import main as run

    if not run():
        raise typer.Exit(1)


@command
def benchmark(
    table: Annotated[str, typer.Argument(help=f"One of {', '.join(TABLES)}.")],
    data: Annotated[Path | None, typer.Option(help="Root of the data; else RIMAGING_DATA.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="Name or path; else those that are shipped for it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the table and pictures.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only so many images.")] = None,
) -> None:
    """Print a table of docs/results.md."""
    from importlib import import_module

    from rimaging.datasets.data_card import data_root

    if table not in TABLES:
        raise OptionError(f"there is no table {table!r}: choose {', '.join(TABLES)}")
    if limit is not None and limit < 1:
        raise OptionError(f"--limit is {limit}, expected 1 or more: leave it out for all images")
    if data is not None and not data.is_dir():
        raise FormatError(f"{data.name!r} is no folder: give the root of the data")
    run = import_module(f"rimaging.benchmark.{table}").main
    run(data_root() if data is None else data, weights or TABLES[table], limit, out)
