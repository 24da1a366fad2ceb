"""The command line: it reads options, calls a door and says in one line what went wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from rimaging.errors import FormatError, OptionError, RimagingError

if TYPE_CHECKING:
    from torch import Tensor

    from rimaging.reconstruct import Reconstruction

app = typer.Typer(
    name="rimaging",
    help="Recurrent Inference Machines: undersampled MRI, blurred skies and noisy pictures in, "
    "better images out.",
    epilog="Try first: rimaging demo. RIMAGING_DEBUG=1 shows where an error arose.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class Table(StrEnum):
    """The tables of docs/results.md."""

    denoise = "denoise"
    mri = "mri"
    astro = "astro"


def main() -> None:
    """Run the command line."""
    app()


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Register a command whose errors are one line on stderr: never a traceback."""

    @wraps(function)
    def run(*args: Any, **options: Any) -> None:
        try:
            function(*args, **options)
        except typer.Exit:
            raise
        except BrokenPipeError:
            # Whoever read our output has left; nobody is there to be told.
            sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
            raise typer.Exit(141) from None
        except KeyboardInterrupt:
            typer.echo("rimaging: interrupted", err=True)
            raise typer.Exit(130) from None
        except Exception as error:
            if os.environ.get("RIMAGING_DEBUG") == "1":
                raise
            _fail(error)

    return app.command()(run)


def _fail(error: Exception) -> NoReturn:
    code = 2
    if isinstance(error, RimagingError):
        message = str(error)
    elif isinstance(error, OSError) and error.strerror:
        what = Path(str(error.filename)).name if error.filename else "a file"
        message = f"{what}: {error.strerror}: check the path, its permissions and the free space"
    elif isinstance(error, MemoryError):
        message = "not enough memory: use a smaller input, or a machine with more"
    else:
        code = 1
        message = (
            f"{type(error).__name__}: {error}: this is a defect of rimaging; "
            "please report it with the output under RIMAGING_DEBUG=1"
        )
    typer.echo(f"rimaging: error: {' '.join(message.split())}", err=True)
    raise typer.Exit(code)


Input = Annotated[str, typer.Argument(help="The measurement; file.fits[SCI] names an extension.")]
Output = Annotated[
    Path, typer.Option("-o", "--output", help="Where the image goes; the suffix says the format.")
]
Page = Annotated[Path | None, typer.Option("--report", help="Also write a report to this .html.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
Noise = Annotated[
    str | None,
    typer.Option(help="Standard deviation, a number or a file; estimated where it is left out."),
]
Method = Annotated[str, typer.Option(help="rim, or a classical method to compare with.")]
Sigma = Annotated[
    str | None,
    typer.Option(help="Standard deviation of the noise, such as 25/255; else estimated."),
]


def _weights(default: str) -> Any:
    return typer.Option(help=f"Name, path or URL of weights ({default} by default).")


@command
def recon(
    kspace: Input,
    output: Output,
    mask: Annotated[str | None, typer.Option(help="File with the sampling mask.")] = None,
    maps: Annotated[str | None, typer.Option(help="File with coil maps; else ESPIRiT.")] = None,
    noise: Noise = None,
    weights: Annotated[str, _weights("mri")] = "mri",
    method: Method = "rim",
    sets: Annotated[int, typer.Option(help="Map sets; 2 if the object leaves the view.")] = 1,
    steps: Annotated[int | None, typer.Option(help="Inference steps.")] = None,
    report: Page = None,
    overwrite: Overwrite = False,
) -> None:
    """Reconstruct an MR image from undersampled k-space."""
    _check_outputs(output, report, overwrite)
    from rimaging import mri

    result = mri.reconstruct(
        kspace,
        mask=_mask(mask),
        maps=_optional(maps, ("maps", "mps", "smaps", "csm", "sensitivities")),
        noise=_noise(noise),
        weights=weights,
        method=method,  # type: ignore[arg-type] # the door names those that exist
        sets=sets,
        steps=steps,
    )
    _finish(result, output, report, overwrite)


@command
def deconvolve(
    image: Input,
    output: Output,
    psf: Annotated[
        str | None,
        typer.Option(help="A file, a FWHM in pixels, gaussian:FWHM or moffat:FWHM:BETA."),
    ] = None,
    noise: Noise = None,
    mask: Annotated[str | None, typer.Option(help="File, 1 where pixels are good.")] = None,
    target: Annotated[
        float | None, typer.Option(help="FWHM in pixels of the image that is sought; 2 by default.")
    ] = None,
    weights: Annotated[str, _weights("astro")] = "astro",
    method: Method = "rim",
    report: Page = None,
    overwrite: Overwrite = False,
) -> None:
    """Deconvolve a telescope image."""
    _check_outputs(output, report, overwrite)
    from rimaging import astro

    result = astro.deconvolve(
        image,
        _psf(psf),
        noise=_noise(noise),
        mask=_mask(mask),
        target=target,
        weights=weights,
        method=method,  # type: ignore[arg-type] # the door names those that exist
    )
    _finish(result, output, report, overwrite)


@command
def denoise(
    image: Input,
    output: Output,
    sigma: Sigma = None,
    weights: Annotated[str, _weights("image")] = "image",
    report: Page = None,
    overwrite: Overwrite = False,
) -> None:
    """Remove noise from a picture."""
    _check_outputs(output, report, overwrite)
    from rimaging import image as door

    _finish(door.denoise(image, _noise(sigma), weights=weights), output, report, overwrite)


@command
def upscale(
    image: Input,
    output: Output,
    scale: Annotated[int, typer.Option(help="How many times larger, along each axis.")] = 2,
    report: Page = None,
    overwrite: Overwrite = False,
) -> None:
    """Enlarge a picture."""
    _check_outputs(output, report, overwrite)
    from rimaging import image as door

    _finish(door.upscale(image, scale), output, report, overwrite)


@command
def restore(
    image: Input,
    output: Output,
    sigma: Sigma = None,
    kernel: Annotated[str | None, typer.Option(help="File with the blur to undo.")] = None,
    mask: Annotated[str | None, typer.Option(help="File, 0 where pixels are to be found.")] = None,
    report: Page = None,
    overwrite: Overwrite = False,
) -> None:
    """Undo a known blur, or fill in what is missing."""
    _check_outputs(output, report, overwrite)
    if (kernel is None) == (mask is None):
        raise OptionError("restore takes either --kernel (deblur) or --mask (fill in): give one")
    from rimaging import image as door

    if kernel is not None:
        result = door.deblur(image, _array(kernel, ("kernel", "psf")), _noise(sigma))
    else:
        known, level = _mask(mask), _noise(sigma)
        if known is None or level is None:
            raise OptionError(
                "filling in needs --sigma: the noise, such as 1/255 where it is clean"
            )
        result = door.inpaint(image, known, level)
    _finish(result, output, report, overwrite)


@command
def train(
    operator: Annotated[str, typer.Argument(help="Operator card: a path, or a name.")],
    data: Annotated[
        list[str] | None, typer.Argument(help="Data cards; by default all that the sampler reads.")
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder of the run; one found there is resumed.")],
    iterations: Annotated[int | None, typer.Option(help="Optimiser steps in all.")] = None,
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
    table: Annotated[Table, typer.Argument(help="Which table of docs/results.md.")],
    data: Annotated[Path | None, typer.Option(help="Root of the data; else RIMAGING_DATA.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="Name or path; else those that are shipped for it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the table and pictures.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only so many images.")] = None,
) -> None:
    """Print a table of docs/results.md."""
    from importlib import import_module

    from rimaging.datasets.cards import data_root

    if data is not None and not data.is_dir():
        raise FormatError(f"{data.name!r} is no folder: give the root of the data")
    run = import_module(f"rimaging.benchmark.{table.value}").main
    shipped = {Table.denoise: "image", Table.mri: "mri", Table.astro: "astro"}
    run(data_root() if data is None else data, weights or shipped[table], limit, out)


def _check_outputs(output: Path, report: Path | None, overwrite: bool) -> None:
    """Refuse before anything is computed what could not be written after it."""
    from rimaging.datasets.save import SUFFIXES

    wanted: list[tuple[Path, tuple[str, ...]]] = [(output, SUFFIXES)]
    if report is not None:
        wanted.append((report, (".html",)))
    for path, suffixes in wanted:
        if not path.name.lower().endswith(suffixes):
            raise FormatError(f"{path.name!r} has no suffix of {', '.join(suffixes)}: choose one")
        if path.is_dir() or (path.exists() and not overwrite):
            raise FormatError(f"{path.name!r} exists: choose another name, or give --overwrite")
        if not path.parent.is_dir():
            raise FormatError(f"the folder of {path.name!r} does not exist: create it first")


def _finish(result: Reconstruction, output: Path, report: Path | None, overwrite: bool) -> None:
    result.save(output, overwrite=overwrite)
    shape = " x ".join(map(str, result.image.shape))
    typer.echo(f"wrote {output} ({shape}, chi2 {float(result.chi2):.3f} per measured value)")
    if report is not None:
        result.report(report)
        typer.echo(f"wrote {report}")


def _array(path: str, names: tuple[str, ...]) -> Tensor:
    """The array of a file: of a .npz the one with a fitting name, or the only one."""
    from rimaging.datasets.arrays import to_tensor
    from rimaging.datasets.npz import load_arrays
    from rimaging.datasets.open import open as open_measurement

    if not path.endswith((".npz", ".npy")):
        return open_measurement(path, kind="image").data
    arrays = load_arrays(path)
    name = next((n for n in names if n in arrays), None)
    if name is None and len(arrays) > 1:
        raise FormatError(
            f"{Path(path).name!r} has {', '.join(arrays)}; expected {' or '.join(names)}: rename it"
        )
    name = next(iter(arrays)) if name is None else name
    return to_tensor(arrays[name], name)


def _optional(path: str | None, names: tuple[str, ...]) -> Tensor | None:
    return None if path is None else _array(path, names)


def _psf(text: str | None) -> Tensor | str | float | None:
    """A width, an array of a .npz, or whatever else the door reads by itself."""
    if text is None:
        return None
    if text.endswith((".npz", ".npy")):
        return _array(text, ("psf", "psfs", "kernel"))
    try:
        return float(text)
    except ValueError:
        return text


def _mask(path: str | None) -> Tensor | None:
    """0 and 1; of a picture, white is 1."""
    if path is None:
        return None
    mask = _array(path, ("mask",))
    return (mask > 0.5).to(mask.dtype)


def _noise(text: str | None) -> float | Tensor | None:
    if text is None:
        return None
    if Path(text.partition("[")[0]).is_file():
        return _array(text, ("noise", "sigma"))
    return _number(text)


def _number(text: str) -> float:
    """A number, or a fraction such as 25/255."""
    numerator, slash, denominator = text.partition("/")
    try:
        return float(numerator) / (float(denominator) if slash else 1.0)
    except (ValueError, ZeroDivisionError):
        raise OptionError(
            f"{text!r} is neither a number, such as 0.1 or 25/255, nor a file: give one of them"
        ) from None


if __name__ == "__main__":
    main()
