"""Weights fitted to one's own undersampled scans."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rimaging.cli.app import command
from rimaging.cli.options import Overwrite, Weights
from rimaging.errors import OptionError


@command
def adapt(
    scans: Annotated[list[str], typer.Argument(help="Undersampled scans of one kind.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Where the weights go: NAME.safetensors.")
    ],
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Some seconds each on a CPU; 60 by default.")
    ] = None,
    weights: Weights = "mri",
    sets: Annotated[
        int | None, typer.Option(help="Map sets, 1 or 2; by default as the data have it.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Fit MRI weights to one's own undersampled scans.

    No full scan is needed. For example: rimaging adapt a.h5 b.h5 -o ours.safetensors, then
    rimaging recon c.h5 --weights ours.safetensors.
    """
    if output.suffix != ".safetensors":
        raise OptionError(f"{output.name!r} is no name for weights: write -o NAME.safetensors")
    if output.is_dir() or (output.exists() and not overwrite):
        raise OptionError(f"{output.name!r} exists: choose another name, or give --overwrite")
    if not output.parent.is_dir():
        raise OptionError(f"the folder of {output.name!r} does not exist: create it first")
    from rimaging import mri
    from rimaging.mri.adaptation import ITERATIONS
    from rimaging.progress import counting
    from rimaging.rim.weights import load_weights, save_weights

    card = load_weights(weights)[1]
    count = ITERATIONS if iterations is None else iterations
    with counting("adapting", count) as done:
        rim = mri.adapt(scans, weights, iterations=count, sets=sets, report=done)
    # of the scans no more than their number: a name of a file may be that of a person
    facts = {"from": card.pop("sha256"), "iterations": count, "scans": len(scans)}
    save_weights(rim, output, card | {"name": output.stem, "adapted": facts})
    typer.echo(f"wrote {output}")
