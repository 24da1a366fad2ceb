"""The doors of pictures: each is its operator; the rest is the same for all."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral

import torch

from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.psf import prepare_psf
from rimaging.datasets.sources import Array, Source, single
from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.image.kernels import blurs, check_kernels
from rimaging.image.methods import (
    ANY,
    BLUR,
    COLOUR,
    DENOISER,
    HOLES,
    OF_HOLES,
    OF_NOISE,
    SMALL,
    How,
    MethodName,
    Task,
    invert,
)
from rimaging.image.noise import is_uneven, of_one_level, of_photons, of_span, spans
from rimaging.image.operator_norm import of_the_user, of_usual_norm
from rimaging.image.picture import Picture, check_known, noted
from rimaging.method import Weights
from rimaging.operators.convolution import Boundary
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.operators.operator import Operator
from rimaging.operators.resampling import Bicubic
from rimaging.operators.sampling import Sampling
from rimaging.reconstruction import Reconstruction, like
from rimaging.uncertainty import ErrorMap

LONG = 24
"""Turns of plug-and-play where nothing was measured of most pixels: the answer spreads by turns."""

CLEAN = 1.5 / 255
"""Noise in units of the span up to which a small image is enlarged with weights that learned on
clean ones: 0.1 dB better there than those for any operator, which are better from 3/255 on."""


def denoise(
    image: Source,
    sigma: float | Array | None = None,
    weights: Weights | None = None,
    *,
    clip: tuple[float, float] | None = None,
    method: MethodName | None = None,
    steps: int | None = None,
    lamda: float | None = None,
    ensemble: bool = False,
    device: str | torch.device | None = None,
    keep_steps: bool = False,
    error_map: ErrorMap | None = None,
) -> Reconstruction:
    """Take white noise away: ``y = x + n``, ``n ~ N(0, sigma^2)``.

    Args:
        image: ``(..., y, x)``, or colour ``(..., y, x, 3)``; floats of any scale, or 8- and 16-bit
            integers; NumPy, torch, a path, or a `Measurement`. The shape alone decides, whatever
            the dtype, in memory as in .npy, .npz and .mat: ``(3, y, x)`` are three gray images,
            ``(y, x, 1)`` is one, a last axis of 2 or 4 is refused. Of PNG, JPEG and TIFF the file
            says what is colour; pages of TIFF are a batch. NaN pixels, and those of a masked array,
            are masked and filled in. Weights for one channel treat each channel by itself.
        sigma: standard deviation in the units of the image, one number or a map; by default
            estimated for each image of a batch, as ``gain x signal + offset`` with weights that
            learned so (``care``). A picture from a file of 16 bits or less has white at 1: 25/255,
            not 25.
        weights: name, path or `RIM`; by default ``image``, ``denoise-colour`` for colour, and for
            noise that differs from pixel to pixel, which these two do not know, ``image-any``.
        clip: black and white in the units of the image, where noise that went beyond was cut off
            (`rimaging.operators.clipped`); by default the ends of 8- and 16-bit integers, in memory
            or in a file, if pixels lie there, none for floats.
        method: ``"rim"``, ``"plug-and-play"`` (the RIM as a denoiser), or to compare with ``"map"``
            (gradient ascent with a Huber prior), ``"tv"``, ``"wiener"``, ``"richardson-lucy"``. By
            default the RIM where the weights were trained for the operator, else plug-and-play.
            The other doors take ``image-any`` by default, trained for several operators; `inpaint`
            takes ``inpainting``, `upscale` takes ``super-resolution`` where the small image is
            clean, `deblur` takes ``deblur`` and then ``image``, as the denoiser of plug-and-play.
        steps: of the method; as in training, or as is usual for it, by default.
        lamda: weight of the prior of map and tv in units of the noise, by default 0.8, 0.5 of
            `inpaint` and 0.1 of the other doors; noise-to-signal of wiener.
        ensemble: the mean over the eight flips and turns of the image, eight times slower; of
            plug-and-play that begins with weights of ours, of that begin alone.
        device: by default the GPU if there is one.
        keep_steps: keep the estimate after each step.
        error_map: ``uncertainty``: ``"learned"`` as weights tell it that learned to, or by so many
            repetitions on redrawn data, 8 for example, each as
            long as the answer itself; see `rimaging.uncertainty`: of photographs with noise of 5 to
            50 of 255, 91 to 75 % of the truth are within 1.96 of it. By default none.

    Returns:
        A `Reconstruction`; ``image`` is float32 in the range of the input (0..255 for uint8), laid
        out like the input, as are its residual, steps and error. Colour pictures from PNG, JPEG and
        TIFF are ``(3, y, x)``, white at 1.

    Raises:
        DataError: noise that is not above zero, or cannot be estimated. ShapeError: no two axes,
        transparency, weights for another number of channels. OptionError: an unknown method,
        settings that it does not have, a sigma above the white of a picture's file, a map of it
        with weights of one level. WeightsError: unknown weights.
    """
    picture = Picture.of(image, sigma).clipped(clip).completed(of_photons(weights))
    direct = method in (None, "rim")
    uneven = direct and is_uneven(picture.measurement)
    if weights is None:
        weights = ANY if uneven else COLOUR if picture.colour and direct else DENOISER
    elif uneven and of_one_level(weights):
        raise OptionError(
            "the noise differs from pixel to pixel, and these weights know one level for an image: "
            "leave them out, or take image-any, care or a method such as plug-and-play"
        )
    how = How(weights, method, steps, lamda, ensemble, device, keep_steps, error_map)
    result = invert(
        picture.measurement,
        how,
        Task(clip=picture.clip, lamda=OF_NOISE),
        lambda y: Identity(y.data.shape[-2:]),
    )
    return picture.present(result, image)


def deblur(
    image: Source,
    kernel: Array,
    sigma: float | Array | None = None,
    weights: Weights | None = None,
    *,
    boundary: Boundary = "reflect",
    clip: tuple[float, float] | None = None,
    method: MethodName | None = None,
    steps: int | None = None,
    lamda: float | None = None,
    ensemble: bool = False,
    device: str | torch.device | None = None,
    keep_steps: bool = False,
    error_map: ErrorMap | None = None,
) -> Reconstruction:
    """Undo a known blur: ``y = kernel * x + n``.

    Args:
        image, sigma, weights, method, steps, lamda, ensemble, device, keep_steps, error_map: see
            `denoise`.
        clip: see `denoise`; white that a light has reached says that it is as bright or brighter,
            and nothing rings around it.
        kernel: ``(y, x)``, or one per channel or image, ``(..., y, x)`` with colour before y;
            normalised to sum 1, padded to odd sides, and both said in ``provenance["assumed"]``.
        boundary: outside the image, ``"reflect"`` mirrors, ``"zero"`` is black, ``"circular"``
            repeats.

    Raises:
        ShapeError: a kernel without two axes, or more kernels than images. DataError: a kernel that
            is complex, has NaN or no positive sum.
        OptionError: an unknown boundary. Else as for `denoise`.
    """
    if boundary not in ("reflect", "zero", "circular"):
        raise OptionError(f"boundary {boundary!r} does not exist: choose reflect, zero, circular")
    psf, notes = prepare_psf(single(to_tensor(kernel, "kernel")))
    if method is None and weights is None:
        # On Levin's kernels 0.2 dB better than its weights alone, at five times the cost
        # (docs/results.md).
        method = "plug-and-play"
    how = How(weights, method, steps, lamda, ensemble, device, keep_steps, error_map)
    picture = Picture.of(image, sigma, notes).clipped(clip).completed()
    check_kernels(psf, tuple(picture.measurement.data.shape))
    task = Task(weights=BLUR, kernel=psf, boundary=boundary, clip=picture.clip)
    result = invert(
        picture.measurement,
        how,
        task,
        blurs(psf, tuple(picture.measurement.data.shape), boundary),
    )
    return picture.present(result, image)


def upscale(
    image: Source,
    scale: int,
    sigma: float | Array | None = None,
    weights: Weights | None = None,
    *,
    method: MethodName | None = None,
    steps: int | None = None,
    lamda: float | None = None,
    ensemble: bool = False,
    device: str | torch.device | None = None,
    keep_steps: bool = False,
    error_map: ErrorMap | None = None,
) -> Reconstruction:
    """Enlarge: ``y = D x + n``, ``D`` bicubic downsampling by ``scale`` (`Bicubic`).

    Args:
        image, weights, method, steps, lamda, ensemble, device, keep_steps, error_map: see
            `denoise`.
        scale: 2 or more, whole.
        sigma: noise of the small image; by default 1/255 of its span, of each image of a batch,
            since small images are mostly clean.

    Raises:
        OptionError: a scale below 1. DataError: a constant image without sigma. Else as for
            `denoise`.
    """
    if not isinstance(scale, Integral) or scale < 1:
        raise OptionError(f"scale is {scale}: give a whole number, 2 or more")
    scale = int(scale)
    how = How(weights, method, steps, lamda, ensemble, device, keep_steps, error_map)
    picture = Picture.of(image, sigma)
    if picture.measurement.noise is None:
        noise, notes = of_span(picture.measurement, picture.white)
        stated = replace(picture.measurement, noise=noise)
        picture = replace(picture, measurement=noted(stated, notes))
    noise = picture.measurement.noise
    clean = float(torch.as_tensor(noise).mean()) <= CLEAN * float(spans(picture.measurement).mean())
    task = Task(weights=SMALL if clean else ANY, turns=LONG, last=scale / 255, enlarged=scale**2)
    result = invert(
        picture.measurement,
        how,
        task,
        lambda y: Bicubic([scale * n for n in y.data.shape[-2:]], scale),
    )
    return picture.present(result, image)


def inpaint(
    image: Source,
    mask: Array,
    sigma: float | Array,
    weights: Weights | None = None,
    *,
    method: MethodName | None = None,
    steps: int | None = None,
    lamda: float | None = None,
    ensemble: bool = False,
    device: str | torch.device | None = None,
    keep_steps: bool = False,
    error_map: ErrorMap | None = None,
) -> Reconstruction:
    """Fill in pixels that are missing: ``y = m x + n``.

    What is farther than 6 pixels from every known one is smooth: the network does not see so far.

    Args:
        image, weights, method, steps, lamda, ensemble, device, keep_steps, error_map: see
            `denoise`; what the image holds at missing pixels does not matter.
        mask: ``(y, x)``, 1 where a pixel is known, 0 where it is to be found.
        sigma: standard deviation of the noise of known pixels, above zero; 1/255 of white is clean.

    Raises:
        ShapeError: a mask of another size. DataError: one without known pixels, or whose known
        ones are blank while the missing ones are not. OptionError: no sigma. Else as for `denoise`.
    """
    if sigma is None:  # an estimate would take the holes for noise
        raise OptionError(
            "inpaint cannot estimate the noise of an image with holes: give sigma, in the units of "
            "the image; 1/255 of white is clean"
        )
    known = to_tensor(mask, "mask")
    how = How(weights, method, steps, lamda, ensemble, device, keep_steps, error_map)
    picture = Picture.of(image, sigma)
    pixels = picture.measurement.data
    if known.shape != pixels.shape[-2:]:
        raise ShapeError(
            f"the mask has shape {tuple(known.shape)}, the image {tuple(pixels.shape[-2:])}: "
            "give one value for each pixel"
        )
    if known.is_complex():
        raise DataError("the mask is complex, expected 1 where a pixel is known and 0 elsewhere")
    known = (known > 0.5).to(pixels)
    check_known(pixels, known > 0)
    hidden = replace(picture.measurement, data=known * pixels)
    task = Task(weights=HOLES, turns=LONG, lamda=OF_HOLES)
    result = invert(hidden, how, task, lambda y: Sampling(known.to(y.data)))
    return picture.present(result, image)


def restore(
    y: Array,
    operator: Operator,
    sigma: float | Array,
    weights: Weights | None = None,
    *,
    method: MethodName | None = None,
    steps: int | None = None,
    lamda: float | None = None,
    ensemble: bool = False,
    device: str | torch.device | None = None,
    keep_steps: bool = False,
    error_map: ErrorMap | None = None,
) -> Reconstruction:
    """Invert any operator: ``y = A x + n``, from ``y`` and ``A`` to an image ``x``.

    Args:
        y: ``(..., *operator.range.shape)``.
        operator: from real images ``(y, x)`` or ``(channel, y, x)``, in single precision and of
            any norm; one that is not linear needs weights trained for it, or ``method="map"``.
        sigma: standard deviation of the noise, one number or broadcastable to ``y``.
        weights, method, steps, lamda, ensemble, device, keep_steps, error_map: see `denoise`.

    Raises:
        ShapeError: ``y`` that does not fit the operator, an operator of other axes. DataError: NaN,
            noise that is not above zero, a complex operator with plug-and-play. OptionError: what
            is no operator. Else as for `denoise`.
    """
    if not isinstance(operator, Operator):
        raise OptionError(
            f"the operator is a {type(operator).__name__}: give one of rimaging.operators, or one "
            "of your own (docs/operators.md)"
        )
    if len(operator.domain.shape) < 2:
        raise ShapeError(
            f"the operator sees {operator.domain}, expected images (y, x) or (channel, y, x)"
        )
    data = single(to_tensor(y, "y"))
    if not bool(torch.isfinite(data).all()):
        raise DataError("y has NaN or infinite values: leave them out of the operator by Sampling")
    if operator.domain.dtype.itemsize != data.dtype.itemsize * (1 + operator.domain.is_complex):
        raise DataError(
            f"the operator is of {str(operator.domain.dtype).removeprefix('torch.')}, pictures are "
            "restored in single precision: build it from float32 tensors (`tensor.float()`)"
        )
    noise = single(to_tensor(sigma, "sigma")).to(data.device)
    how = How(weights, method, steps, lamda, ensemble, device, keep_steps, error_map)
    with torch.no_grad():  # an operator may hold what somebody trains
        if not of_the_user(weights):
            operator, data, noise = of_usual_norm(operator, data, noise)
        likelihood = Gaussian(operator, data, noise)
    return like(invert(likelihood, how, Task()), y)
