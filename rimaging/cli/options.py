"""Options that several commands share, and how their texts become values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from rimaging.errors import FormatError, OptionError

if TYPE_CHECKING:
    from torch import Tensor

    from rimaging.datasets.measurement import Measurement
    from rimaging.uncertainty import Learned

Input = Annotated[str, typer.Argument(help="The measurement; file.fits[SCI] names an extension.")]
Output = Annotated[
    Path, typer.Option("-o", "--output", help="Where the image goes; the suffix says the format.")
]
Page = Annotated[Path | None, typer.Option("--report", help="Also write a report to this .html.")]
ShowSteps = Annotated[
    Path | None, typer.Option("--show-steps", help="Also draw the estimate at each step, as .png.")
]
ErrorMapOption = Annotated[
    str | None,
    typer.Option(
        "--error-map", help="Also its error: learned, or by so many repetitions, 8 for example."
    ),
]
Ensemble = Annotated[bool, typer.Option("--ensemble", help="Mean over eight turns; 8x slower.")]
AddResidual = Annotated[
    bool,
    typer.Option(
        "--add-residual",
        help="Put what is left unexplained back, as CLEAN does: whole fluxes, the data's noise.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
Noise = Annotated[
    str | None,
    typer.Option(help="Sigma: a number, a file or mosaic.fits[ERR]; else from the image."),
]
Target = Annotated[
    float | None, typer.Option(help="FWHM in pixels of the image that is sought; 2 by default.")
]
NoiseCorrelation = Annotated[
    str | None,
    typer.Option(help="Of drizzled or resampled images: auto, or a file of lags (y, x)."),
]
Method = Annotated[str, typer.Option(help="rim, or to compare with: richardson-lucy or wiener.")]
Weights = Annotated[str, typer.Option(help="Name, path or URL of weights.")]
Sigma = Annotated[
    str | None,
    typer.Option(
        help="Standard deviation of the noise, such as 25/255 (white is 1); else estimated."
    ),
]


def with_options(group: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the fields of a dataclass as options; they come as its argument ``shared``."""
    hints = get_type_hints(group, include_extras=True)
    names = [field.name for field in fields(group)]

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def run(**given: Any) -> None:
            shared = group(**{name: given.pop(name) for name in names})
            function(**given, shared=shared)

        own = signature(function, eval_str=True).parameters
        parameters = [
            *(own[name].replace(kind=Parameter.KEYWORD_ONLY) for name in own if name != "shared"),
            *(
                Parameter(
                    f.name, Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name]
                )
                for f in fields(group)
            ),
        ]
        # What typer reads.
        run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def read_error_map(text: str | None) -> int | Learned | None:
    """A number of repetitions, "learned" or "none"; raises OptionError for other texts."""
    if text is None or text == "none":
        return None
    if text == "learned":
        return "learned"
    if not text.isdecimal():
        raise OptionError(
            f"--error-map {text!r} is no number of repetitions: give 8, for example, or learned, "
            "or none"
        )
    return int(text)


def read_array(path: str, names: tuple[str, ...]) -> Tensor:
    """The array of a file: of a .npz, .mat or .h5 the one with a fitting name, or the only one."""
    named = _named(path, names)
    return _opened(path).data if named is None else named


def read_plane(path: str, names: tuple[str, ...]) -> Tensor:
    """`read_array` of what has no colour: of a picture in colour whose channels agree, one.

    Raises FormatError where they do not.
    """
    named = _named(path, names)
    if named is not None:
        return named
    found = _opened(path)
    if not found.provenance.get("colour"):
        return found.data
    channel = found.data[..., 0, :, :]
    if not bool((found.data == channel.unsqueeze(-3)).all()):
        raise FormatError(f"{Path(path).name!r} is in colour, expected gray: save it as gray")
    return channel


def _named(path: str, names: tuple[str, ...]) -> Tensor | None:
    from rimaging.datasets.fits_open import split_extension
    from rimaging.datasets.open import named_array, sniff

    bare, _ = split_extension(path)
    return named_array(bare, sniff(bare), names)


def _opened(path: str) -> Measurement:
    from rimaging.datasets.open import open as open_measurement

    return open_measurement(path, kind="image")


def read_optional(path: str | None, names: tuple[str, ...]) -> Tensor | None:
    """The array of a file, where one was given."""
    return None if path is None else read_array(path, names)


def read_psf(text: str | None) -> Tensor | str | float | None:
    """A width, an array of a .npz, or whatever else the door reads by itself."""
    if text is None:
        return None
    if text.endswith((".npz", ".npy")):
        return read_array(text, ("psf", "psfs", "kernel"))
    try:
        return float(text)
    except ValueError:
        return text


def read_mask(path: str | None) -> Tensor | None:
    """0 and 1: what is above 0.5, or above half of the largest value where that is less.

    So is a picture of 0 and 1 whose white is 255. Of BART's numbers, all complex, the real part.
    """
    if path is None:
        return None
    mask = read_plane(path, ("mask",))
    if mask.is_complex():
        if bool((mask.imag != 0).any()):
            raise FormatError(
                f"the mask of {Path(path).name!r} is complex, expected 0 and 1: is it k-space?"
            )
        mask = mask.real
    return (mask > min(0.5, 0.5 * float(mask.max()))).to(mask.dtype)


def read_noise(text: str | None) -> float | Tensor | None:
    """A number, a fraction, or the array of a file."""
    from rimaging.datasets.fits_open import split_extension

    if text is None:
        return None
    if split_extension(text)[0].is_file():
        return read_array(text, ("noise", "sigma"))
    return read_number(text)


def read_number(text: str) -> float:
    """A number, or a fraction such as 25/255."""
    numerator, slash, denominator = text.partition("/")
    try:
        return float(numerator) / (float(denominator) if slash else 1.0)
    except (ValueError, ZeroDivisionError):
        raise OptionError(
            f"{text!r} is neither a number, such as 0.1 or 25/255, nor a file: give one of them"
        ) from None
