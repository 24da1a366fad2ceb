"""Photographs and microscopy: denoise, deblur, enlarge, or invert any linear operator.

The weights ``image`` are a denoiser, trained on white noise of every level. `denoise` uses them as
they are. The other tasks have operators without end, for which nobody trained them; there the
denoiser serves as the prior of plug-and-play half-quadratic splitting, see
`rimaging.solvers.plug_and_play`, and the operator enters through its own data term. Weights that
were trained for the operator are used directly with ``method="rim"``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.psf import prepare_psf
from rimaging.datasets.sources import Array, Source, as_measurement, single
from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.convolution import Convolution
from rimaging.operators.identity import Identity
from rimaging.operators.likelihood import Gaussian
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.resampling import Bicubic
from rimaging.operators.sampling import Sampling
from rimaging.reconstruct import Method, Weights, choose_device, rim_method, run
from rimaging.reconstruction import Reconstruction, like
from rimaging.solvers.cg import cg
from rimaging.solvers.plug_and_play import plug_and_play

MethodName = Literal["plug-and-play", "rim"]
Boundary = Literal["reflect", "zero", "circular"]

BLUR_STEPS = 8
UPSCALE_STEPS = 24
"""Also for filling in: where nothing was measured, the answer spreads from turn to turn."""


def denoise(
    image: Source,
    sigma: float | Array | None = None,
    weights: Weights = "image",
    *,
    steps: int | None = None,
    device: str | torch.device | None = None,
    keep_steps: bool = False,
) -> Reconstruction:
    """Take white noise away: ``y = x + n``, ``n ~ N(0, sigma^2)``.

    Args:
        image: ``(..., y, x)``, or colour ``(y, x, 3)``, each channel by itself; floats of any
            scale, or 8- and 16-bit integers; NumPy, torch, a path, or a `Measurement`. NaN pixels
            are masked and filled in.
        sigma: standard deviation in the units of the image, one number or a map; by default
            estimated.
        weights: name, path or `RIM`.
        steps: of the RIM; as in training by default.
        device: by default the GPU if there is one.
        keep_steps: keep the estimate after each step.

    Returns:
        A `Reconstruction`; ``image`` is float32 in the range of the input (0..255 for uint8), laid
        out like the input. Colour pictures from a path are ``(3, y, x)``, white at 1.

    Raises:
        DataError: noise that is not above zero, or cannot be estimated. ShapeError: no two axes.
        WeightsError: unknown weights.
    """
    place = choose_device(device)
    picture = Picture.of(image, sigma)
    method = rim_method(weights, steps, place)
    result = run(picture.measurement, method, device=place, keep_steps=keep_steps)
    return picture.present(result, image)


def deblur(
    image: Source,
    kernel: Array,
    sigma: float | Array | None = None,
    weights: Weights = "image",
    *,
    boundary: Boundary = "reflect",
    method: MethodName = "plug-and-play",
    steps: int | None = None,
    device: str | torch.device | None = None,
    keep_steps: bool = False,
) -> Reconstruction:
    """Undo a known blur: ``y = kernel * x + n``.

    Args:
        image, sigma, weights, device, keep_steps: as for `denoise`.
        kernel: ``(y, x)``, or one per channel; normalised to sum 1, padded to odd sides, and both
            said in ``provenance["assumed"]``.
        boundary: outside the image, ``"reflect"`` mirrors, ``"zero"`` is black, ``"circular"``
            repeats.
        method: ``"plug-and-play"`` with a denoiser, or ``"rim"`` for weights trained on blur.
        steps: turns of plug-and-play, 8 by default; or steps of the RIM.

    Raises:
        ShapeError, DataError: a kernel without two axes, with NaN or without positive sum; and as
            for `denoise`. OptionError: an unknown method or boundary.
    """
    if boundary not in get_args(Boundary):
        raise OptionError(
            f"boundary {boundary!r} does not exist: choose {', '.join(get_args(Boundary))}"
        )
    psf, notes = prepare_psf(single(to_tensor(kernel, "kernel")))
    place = choose_device(device)
    picture = Picture.of(image, sigma, notes)

    def build(piece: Measurement) -> Gaussian:
        blur = Convolution(psf.to(piece.data), piece.data.shape[-2:], boundary)
        return _likelihood(piece, blur)

    chosen = _method(method, weights, place, steps, BLUR_STEPS)
    result = run(picture.measurement, chosen, build=build, device=place, keep_steps=keep_steps)
    return picture.present(result, image)


def upscale(
    image: Source,
    scale: int,
    sigma: float | Array | None = None,
    weights: Weights = "image",
    *,
    method: MethodName = "plug-and-play",
    steps: int | None = None,
    device: str | torch.device | None = None,
    keep_steps: bool = False,
) -> Reconstruction:
    """Enlarge: ``y = D x + n``, ``D`` bicubic downsampling by ``scale`` (`Bicubic`).

    Args:
        image, weights, device, keep_steps: as for `denoise`.
        scale: 2 or more, whole.
        sigma: noise of the small image; by default 1/255 of its span, since small images are mostly
            clean.
        method: ``"plug-and-play"`` with a denoiser, or ``"rim"`` for weights trained to enlarge.
        steps: turns of plug-and-play, 24 by default; or steps of the RIM.

    Raises:
        OptionError: a scale below 1, an unknown method. Else as for `denoise`.
    """
    if not isinstance(scale, int) or scale < 1:
        raise OptionError(f"scale is {scale}: give a whole number, 2 or more")
    place = choose_device(device)
    picture = Picture.of(image, sigma)
    if picture.measurement.noise is None:
        noise = float(_span(picture.measurement.data).amax()) / 255
        note = f"noise {noise:.4g} taken as 1/255 of the span"
        known = replace(picture.measurement, noise=noise)
        picture = replace(picture, measurement=_noted(known, [note]))

    def build(piece: Measurement) -> Gaussian:
        shape = [scale * n for n in piece.data.shape[-2:]]
        return _likelihood(piece, Bicubic(shape, scale))

    chosen = _method(method, weights, place, steps, UPSCALE_STEPS, last=scale / 255)
    chosen = replace(chosen, bytes_per_pixel=scale**2 * chosen.bytes_per_pixel)
    result = run(picture.measurement, chosen, build=build, device=place, keep_steps=keep_steps)
    return picture.present(result, image)


def inpaint(
    image: Source,
    mask: Array,
    sigma: float | Array,
    weights: Weights = "image",
    *,
    method: MethodName = "plug-and-play",
    steps: int | None = None,
    device: str | torch.device | None = None,
    keep_steps: bool = False,
) -> Reconstruction:
    """Fill in pixels that are missing: ``y = m x + n``.

    Args:
        image, weights, device, keep_steps: as for `denoise`; what it holds at missing pixels does
            not matter.
        mask: ``(y, x)``, 1 where a pixel is known, 0 where it is to be found.
        sigma: standard deviation of the noise of known pixels, above zero; 1/255 of white is clean.
        method: ``"plug-and-play"`` with a denoiser, or ``"rim"`` for weights trained to fill in.
        steps: turns of plug-and-play, 24 by default; or steps of the RIM.

    Raises:
        ShapeError: a mask of another size. Else as for `denoise`.
    """
    place = choose_device(device)
    known = to_tensor(mask, "mask")
    picture = Picture.of(image, sigma)
    pixels = picture.measurement.data
    if known.shape != pixels.shape[-2:]:
        raise ShapeError(
            f"the mask has shape {tuple(known.shape)}, the image {tuple(pixels.shape[-2:])}: "
            "give one value for each pixel"
        )
    known = (known > 0.5).to(pixels)
    picture = replace(picture, measurement=replace(picture.measurement, data=known * pixels))

    def build(piece: Measurement) -> Gaussian:
        return _likelihood(piece, Sampling(known.to(piece.data)))

    chosen = _method(method, weights, place, steps, UPSCALE_STEPS)
    result = run(picture.measurement, chosen, build=build, device=place, keep_steps=keep_steps)
    return picture.present(result, image)


def restore(
    y: Array,
    operator: LinearOperator,
    sigma: float | Array,
    weights: Weights = "image",
    *,
    method: MethodName = "plug-and-play",
    steps: int | None = None,
    device: str | torch.device | None = None,
    keep_steps: bool = False,
) -> Reconstruction:
    """Invert any linear operator: ``y = A x + n``, from ``y`` and ``A`` to an image ``x``.

    Args:
        y: ``(..., *operator.range.shape)``.
        operator: from real images ``(y, x)`` or ``(channel, y, x)``.
        sigma: standard deviation of the noise, one number or broadcastable to ``y``.
        weights, steps, device, keep_steps: as for `deblur`.
        method: ``"plug-and-play"`` with a denoiser, or ``"rim"`` for weights trained on ``A``.

    Raises:
        ShapeError: ``y`` that does not fit the operator. DataError: NaN, noise that is not above
            zero, a complex operator with plug-and-play. OptionError: an unknown method.
    """
    data = single(to_tensor(y, "y"))
    if not bool(torch.isfinite(data).all()):
        raise DataError("y has NaN or infinite values: leave them out of the operator by Sampling")
    noise = single(to_tensor(sigma, "sigma")).to(data.device)
    place = choose_device(device)
    likelihood = Gaussian(operator, data, noise)
    chosen = _method(method, weights, place, steps, BLUR_STEPS)
    return like(run(likelihood, chosen, device=place, keep_steps=keep_steps), y)


@dataclass(frozen=True)
class Picture:
    """An image as a measurement, and how it was laid out: white of its integers, colour last."""

    measurement: Measurement
    white: float = 1.0
    colour_last: bool = False

    @classmethod
    def of(cls, image: Source, sigma: float | Array | None, notes: Sequence[str] = ()) -> Picture:
        """Integers become 0..1, colour comes to the front."""
        if isinstance(image, str | Path | Measurement):
            measurement = as_measurement(image, "image", noise=sigma)
            return cls(_noted(measurement, notes))
        white = _white(image)
        array = to_tensor(image, "image")
        colour = array.ndim == 3 and array.shape[-1] == 3
        if array.ndim == 3 and array.shape[-1] in (2, 4):
            raise ShapeError(
                f"the image has shape {tuple(array.shape)}: give colour as (y, x, 3), without "
                "transparency (image[..., :3])"
            )
        noise = None if sigma is None else to_tensor(sigma, "sigma")
        if colour:
            array = array.movedim(-1, 0)
            noise = noise.movedim(-1, 0) if noise is not None and noise.ndim == 3 else noise
        noise = None if noise is None else noise / white
        measurement = as_measurement(array / white, "image", noise=noise)
        return cls(_noted(measurement, notes), white, colour)

    def present(self, result: Reconstruction, source: object) -> Reconstruction:
        """Lay the image and its steps out as the source was."""
        if self.white == 1 and not self.colour_last:
            return like(result, source)
        estimate = result.image
        assert isinstance(estimate, Tensor)
        return like(
            replace(
                result,
                image=self._laid_out(estimate),
                steps=[self._laid_out(step) for step in result.steps if isinstance(step, Tensor)],
                estimate=estimate,
            ),
            source,
        )

    def _laid_out(self, image: Tensor) -> Tensor:
        image = self.white * image
        return image.movedim(0, -1) if self.colour_last else image


def _white(image: Array) -> float:
    """The largest value of 8- and 16-bit integers; 1 for others, whose units are their own."""
    name = str(image.dtype).removeprefix("torch.") if isinstance(image, Tensor) else None
    name = np.asarray(image).dtype.name if name is None else name
    return {"uint8": 255.0, "uint16": 65535.0}.get(name, 1.0)


def _noted(measurement: Measurement, notes: Sequence[str]) -> Measurement:
    """The measurement with notes of what was assumed."""
    if not notes:
        return measurement
    assumed = [*measurement.provenance.get("assumed", []), *notes]
    return replace(measurement, provenance={**measurement.provenance, "assumed": assumed})


def _likelihood(piece: Measurement, operator: LinearOperator) -> Gaussian:
    assert piece.noise is not None
    return Gaussian(operator, piece.data, piece.noise, weight=piece.mask)


def _span(x: Tensor) -> Tensor:
    """White minus black of each plane, ``(..., 1, 1)``."""
    return x.amax(dim=(-2, -1), keepdim=True) - x.amin(dim=(-2, -1), keepdim=True)


def _method(
    name: str,
    weights: Weights,
    device: torch.device,
    steps: int | None,
    turns: int,
    last: float = 0.0,
) -> Method:
    """Plug-and-play with the denoiser, or the RIM itself; ``last`` in units of the span."""
    if name not in get_args(MethodName):
        raise OptionError(
            f"method {name!r} does not exist: choose {', '.join(get_args(MethodName))}"
        )
    if name == "rim":
        return rim_method(weights, steps, device)
    prior = rim_method(weights, None, device)
    count = turns if steps is None else steps
    clean = denoiser(prior)

    def solve(piece: Measurement | None, likelihood: Gaussian) -> list[Tensor]:
        if likelihood.operator.domain.is_complex:
            raise DataError("plug-and-play restores real images: this operator is complex")
        if piece is None:
            back = likelihood.operator.adjoint(likelihood.y)
            span = _span(cg(likelihood.operator, back, iterations=10).x)
        else:
            span = _span(piece.data)
        return plug_and_play(likelihood, clean, span=span, last=last * span, steps=count)

    return Method(
        name="plug-and-play",
        solve=solve,
        bytes_per_pixel=prior.bytes_per_pixel + 32,
        provenance={
            **prior.provenance,
            "steps": count,
            "denoiser_steps": prior.provenance["steps"],
        },
    )


def denoiser(prior: Method) -> Callable[[Tensor, Tensor], Tensor]:
    """A RIM as a function that takes noise of a given level from images ``(..., y, x)``."""

    def clean(x: Tensor, sigma: Tensor) -> Tensor:
        identity = Identity(x.shape[-2:], x.dtype)
        return prior.solve(None, Gaussian(identity, x, sigma))[-1]

    return clean
