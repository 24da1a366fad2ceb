"""Training, and the weights that come of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rimaging.cli.app import command


@command
def train(
    operator: Annotated[str, typer.Argument(help="Operator card: a path, or a name.")],
    data: Annotated[
        list[str] | None, typer.Argument(help="Data cards; by default those of the sampler.")
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder of the run; one found there is resumed.")],
    iterations: Annotated[int | None, typer.Option(help="Optimiser steps in all.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="End by the clock instead: for a machine that is lent.")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Items per optimiser step.")] = None,
    size: Annotated[int | None, typer.Option(help="Edge of the training images.")] = None,
    steps: Annotated[int | None, typer.Option(help="Inference steps.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak of the learning rate.")] = None,
    warmup: Annotated[int | None, typer.Option(help="Optimiser steps of linear rise.")] = None,
    validate_every: Annotated[
        int | None, typer.Option(help="Optimiser steps between validations.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights and samples.")] = None,
    init: Annotated[str | None, typer.Option(help="Weights to start from.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
) -> None:
    """Train a RIM from its cards.

    For example: rimaging train operators/X.toml datasets/Y.toml --out DIR.
    Whatever is left out comes from the operator card. Stop it with Ctrl-C or SIGTERM; the same
    command goes on where it was, bit for bit.
    """
    from rimaging import experiment as room
    from rimaging.progress import TrainingBar

    named = {
        "iterations": iterations,
        "minutes": minutes,
        "batch": batch,
        "size": size,
        "steps": steps,
        "learning_rate": lr,
        "warmup": warmup,
        "validate_every": validate_every,
        "seed": seed,
    }
    settings = {name: value for name, value in named.items() if value is not None}
    plan = room.load_experiment(operator, data or (), settings)
    with TrainingBar(plan.operator.name, plan.training.iterations) as bar:
        weights, stopped = room.train(
            plan,
            out,
            start=init,
            device=device,
            on_step=bar.step,
            on_validation=bar.validation,
        )
    if weights is None:
        typer.echo("rimaging: stopped and saved; run the same command again to go on", err=True)
        raise typer.Exit(128 + (stopped or 2))
    typer.echo(f"wrote {weights}")


@command
def weights(
    source: Annotated[str | None, typer.Argument(help="Name, path or URL; all by default.")] = None,
    sha256: Annotated[str | None, typer.Option(help="Digest that the file must have.")] = None,
) -> None:
    """List the weights that are here, or show a card."""
    import json

    from rimaging.rim.weights import load_weights, shipped

    if source is not None:
        typer.echo(json.dumps(load_weights(source, sha256)[1], indent=2, sort_keys=True))
        return
    for name in shipped():
        card = load_weights(name)[1]
        figures = ", ".join(f"{k} {v}" for k, v in card.get("figures", {}).items())
        title = card.get("title", "")
        typer.echo(f"{name:<8} {card['parameters']:>9,} values  {title}  {figures}".rstrip())
        typer.echo(f"{'':<8} sha256 {card['sha256']}")
    if not shipped():
        typer.echo("none come with this installation; train some: rimaging train --help")
