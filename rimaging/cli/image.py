"""Pictures: denoise, upscale, restore."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rimaging.cli.app import command
from rimaging.cli.options import (
    ErrorMap,
    Input,
    Output,
    Overwrite,
    Page,
    ShowSteps,
    Sigma,
    read_array,
    read_mask,
    read_noise,
    weights_option,
)
from rimaging.cli.output import check_outputs, finish
from rimaging.errors import OptionError

Weights = Annotated[str, weights_option("image")]
How = Annotated[
    str | None,
    typer.Option(help="rim, plug-and-play, map, tv, wiener, richardson-lucy; else what suits."),
]
Steps = Annotated[int | None, typer.Option(help="Steps of the method.")]
Lamda = Annotated[float | None, typer.Option(help="Weight of the prior of map and tv.")]
Ensemble = Annotated[bool, typer.Option("--ensemble", help="Mean over eight turns; 8x slower.")]


@command
def denoise(
    image: Input,
    output: Output,
    sigma: Sigma = None,
    weights: Weights = "image",
    method: How = None,
    steps: Steps = None,
    lamda: Lamda = None,
    ensemble: Ensemble = False,
    report: Page = None,
    show_steps: ShowSteps = None,
    error_map: ErrorMap = None,
    overwrite: Overwrite = False,
) -> None:
    """Take white noise from a picture."""
    check_outputs(output, report, overwrite, show_steps, error_map)
    from rimaging import image as door

    settings = _settings(weights, method, steps, lamda, ensemble, show_steps, error_map)
    result = door.denoise(image, read_noise(sigma), **settings)
    finish(result, output, report, overwrite, show_steps=show_steps)


@command
def upscale(
    image: Input,
    output: Output,
    scale: Annotated[int, typer.Option(help="How many times larger, along each axis.")] = 2,
    weights: Weights = "image",
    method: How = None,
    steps: Steps = None,
    lamda: Lamda = None,
    ensemble: Ensemble = False,
    report: Page = None,
    show_steps: ShowSteps = None,
    error_map: ErrorMap = None,
    overwrite: Overwrite = False,
) -> None:
    """Enlarge a picture."""
    check_outputs(output, report, overwrite, show_steps, error_map)
    from rimaging import image as door

    settings = _settings(weights, method, steps, lamda, ensemble, show_steps, error_map)
    finish(door.upscale(image, scale, **settings), output, report, overwrite, show_steps=show_steps)


@command
def restore(
    image: Input,
    output: Output,
    sigma: Sigma = None,
    kernel: Annotated[str | None, typer.Option(help="File with the blur to undo.")] = None,
    mask: Annotated[str | None, typer.Option(help="File, 0 where pixels are to be found.")] = None,
    weights: Weights = "image",
    method: How = None,
    steps: Steps = None,
    lamda: Lamda = None,
    ensemble: Ensemble = False,
    report: Page = None,
    show_steps: ShowSteps = None,
    error_map: ErrorMap = None,
    overwrite: Overwrite = False,
) -> None:
    """Undo a known blur, or fill in what is missing."""
    check_outputs(output, report, overwrite, show_steps, error_map)
    if (kernel is None) == (mask is None):
        raise OptionError("restore takes either --kernel (deblur) or --mask (fill in): give one")
    from rimaging import image as door

    settings = _settings(weights, method, steps, lamda, ensemble, show_steps, error_map)
    if kernel is not None:
        blur = read_array(kernel, ("kernel", "psf"))
        result = door.deblur(image, blur, read_noise(sigma), **settings)
    else:
        known, level = read_mask(mask), read_noise(sigma)
        if known is None or level is None:
            raise OptionError(
                "filling in needs --sigma: the noise, such as 1/255 where it is clean"
            )
        result = door.inpaint(image, known, level, **settings)
    finish(result, output, report, overwrite, show_steps=show_steps)


def _settings(
    weights: str,
    method: str | None,
    steps: int | None,
    lamda: float | None,
    ensemble: bool,
    show_steps: object,
    error_map: int | None,
) -> dict[str, Any]:
    """What the three doors have in common, by their names there."""
    return {
        "weights": weights,
        "method": method,
        "steps": steps,
        "lamda": lamda,
        "ensemble": ensemble,
        "keep_steps": show_steps is not None,
        "error_map": error_map,
    }
