"""Pictures: denoise, upscale, restore."""

from __future__ import annotations

from typing import Annotated

import typer

from rimaging.cli.app import command
from rimaging.cli.options import (
    Input,
    Output,
    Overwrite,
    Page,
    Sigma,
    read_array,
    read_mask,
    read_noise,
    weights_option,
)
from rimaging.cli.output import check_outputs, finish
from rimaging.errors import OptionError


@command
def denoise(
    image: Input,
    output: Output,
    sigma: Sigma = None,
    weights: Annotated[str, weights_option("image")] = "image",
    report: Page = None,
    overwrite: Overwrite = False,
) -> None:
    """Remove noise from a picture."""
    check_outputs(output, report, overwrite)
    from rimaging import image as door

    finish(door.denoise(image, read_noise(sigma), weights=weights), output, report, overwrite)


@command
def upscale(
    image: Input,
    output: Output,
    scale: Annotated[int, typer.Option(help="How many times larger, along each axis.")] = 2,
    report: Page = None,
    overwrite: Overwrite = False,
) -> None:
    """Enlarge a picture."""
    check_outputs(output, report, overwrite)
    from rimaging import image as door

    finish(door.upscale(image, scale), output, report, overwrite)


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
    check_outputs(output, report, overwrite)
    if (kernel is None) == (mask is None):
        raise OptionError("restore takes either --kernel (deblur) or --mask (fill in): give one")
    from rimaging import image as door

    if kernel is not None:
        result = door.deblur(image, read_array(kernel, ("kernel", "psf")), read_noise(sigma))
    else:
        known, level = read_mask(mask), read_noise(sigma)
        if known is None or level is None:
            raise OptionError(
                "filling in needs --sigma: the noise, such as 1/255 where it is clean"
            )
        result = door.inpaint(image, known, level)
    finish(result, output, report, overwrite)
