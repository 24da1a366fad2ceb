"""Pictures: denoise, upscale, restore."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rimaging.cli.app import command
from rimaging.cli.options import (
    Ensemble,
    ErrorMapOption,
    Input,
    Output,
    Overwrite,
    Page,
    ShowSteps,
    Sigma,
    read_error_map,
    read_mask,
    read_noise,
    read_plane,
    with_options,
)
from rimaging.cli.output import check_outputs, finish
from rimaging.errors import FormatError, OptionError

if TYPE_CHECKING:
    from rimaging.reconstruction import Reconstruction


Clip = Annotated[
    tuple[float, float] | None,
    typer.Option(help="Black and white, where what went beyond was cut off: 0 1 for a PNG."),
]


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What the three commands share: the method, and what is written beside the image."""

    weights: Annotated[
        str | None,
        typer.Option(help="Name or path; by default those for the task."),
    ] = None
    method: Annotated[
        str | None,
        typer.Option(help="rim, plug-and-play, map, tv, wiener, richardson-lucy; else what suits."),
    ] = None
    steps: Annotated[int | None, typer.Option(help="Steps of the method.")] = None
    lamda: Annotated[float | None, typer.Option(help="Weight of the prior of map and tv.")] = None
    ensemble: Ensemble = False
    report: Page = None
    show_steps: ShowSteps = None
    error_map: ErrorMapOption = None
    overwrite: Overwrite = False

    def check(self, output: Path, *inputs: str | None) -> None:
        """Refuse what could not be written, or would replace an input."""
        check_outputs(output, self.report, self.overwrite, self.show_steps, self.error_map, inputs)
        if output.name.lower().endswith(".png") and inputs[0] is not None:
            _check_png(output, inputs[0])

    def settings(self) -> dict[str, Any]:
        """Those that are for the doors, by their names there."""
        weights = {} if self.weights is None else {"weights": self.weights}
        return {
            **weights,
            "method": self.method,
            "steps": self.steps,
            "lamda": self.lamda,
            "ensemble": self.ensemble,
            "keep_steps": self.show_steps is not None,
            "error_map": read_error_map(self.error_map),
        }

    def finish(self, result: Reconstruction, output: Path, stated: bool = True) -> None:
        """Write what was asked for."""
        finish(
            result,
            output,
            self.report,
            self.overwrite,
            show_steps=self.show_steps,
            stated=stated,
        )


def _check_png(output: Path, image: str) -> None:
    """Refuse pictures that PNG cannot hold before the minutes that they take."""
    from rimaging.image.picture import Picture

    picture = Picture.of(image, None)
    count = math.prod(picture.measurement.data.shape[: -2 - picture.colour])
    deep = picture.colour and picture.measurement.provenance.get("bit_depth") == 16
    if count > 1 or deep:
        what = f"{count} images" if count > 1 else "colour of 16 bits"
        raise FormatError(f"{output.name!r} cannot hold {what}: write .tif, which does")


@command
@with_options(Shared)
def denoise(
    image: Input,
    output: Output,
    shared: Shared,
    sigma: Sigma = None,
    clip: Clip = None,
) -> None:
    """Take white noise from a picture."""
    shared.check(output, image, sigma)
    from rimaging import image as door

    result = door.denoise(image, read_noise(sigma), clip=clip, **shared.settings())
    shared.finish(result, output, stated=sigma is not None)


@command
@with_options(Shared)
def upscale(
    image: Input,
    output: Output,
    shared: Shared,
    scale: Annotated[int, typer.Option(help="How many times larger, along each axis.")] = 2,
    sigma: Annotated[
        str | None,
        typer.Option(help="Noise of the small picture: a number, 8/255, a file. Else it is clean."),
    ] = None,
) -> None:
    """Enlarge a picture."""
    shared.check(output, image, sigma)
    from rimaging import image as door

    result = door.upscale(image, scale, read_noise(sigma), **shared.settings())
    shared.finish(result, output, stated=sigma is not None)


@command
@with_options(Shared)
def restore(
    image: Input,
    output: Output,
    shared: Shared,
    sigma: Sigma = None,
    kernel: Annotated[str | None, typer.Option(help="File with the blur to undo.")] = None,
    mask: Annotated[str | None, typer.Option(help="File, 0 where pixels are to be found.")] = None,
    clip: Clip = None,
) -> None:
    """Undo a known blur, or fill in what is missing."""
    shared.check(output, image, sigma, kernel, mask)
    if (kernel is None) == (mask is None):
        raise OptionError("restore takes either --kernel (deblur) or --mask (fill in): give one")
    from rimaging import image as door

    if kernel is not None:
        blur = read_plane(kernel, ("kernel", "psf"))
        result = door.deblur(image, blur, read_noise(sigma), clip=clip, **shared.settings())
    else:
        if clip is not None:
            raise OptionError("--clip is of a blur that is undone (--kernel): leave it out")
        known, level = read_mask(mask), read_noise(sigma)
        if known is None or level is None:
            raise OptionError(
                "filling in needs --sigma: the noise, such as 1/255 where it is clean"
            )
        result = door.inpaint(image, known, level, **shared.settings())
    # few pixels are known to whoever fills in: the image may well explain them all
    shared.finish(result, output, stated=kernel is not None and sigma is not None)
