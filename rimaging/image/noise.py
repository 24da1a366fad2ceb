"""The noise of pictures: what nobody states, and for which weights it is too uneven."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from rimaging.datasets.measurement import Measurement
from rimaging.datasets.noise import estimate_picture_noise, noise_notes
from rimaging.datasets.photon_noise import estimate_photon_noise
from rimaging.errors import DataError
from rimaging.image.smoothest import estimate_smooth_noise
from rimaging.method import Weights
from rimaging.rim.rim import RIM
from rimaging.rim.weights import load_weights

ENOUGH = 0.05
"""Share of the blocks of an image that have to be free of black and white to tell its noise: the
few grays of a drawing are its edges."""

FREE, NEIGHBOURS = (0.97, 0.9, 0.8), 9
"""Shares of a neighbourhood, of that edge in pixels, that shall lie between black and white: of the
first that enough of an image have."""

EVEN = 1e-3
"""Differences of the noise up to which it counts as one level."""


def estimated(
    measurement: Measurement, white: float, clip: tuple[float, float] | None, photons: bool
) -> tuple[float | Tensor, list[str]]:
    """The noise of pictures, one number, ``(..., [1,] 1, 1)`` or a map, and what was assumed.

    Pages of a stack and channels of a microscope have noise of their own; the three colours of a
    picture, and the slices of a volume that has a geometry, have one. white: the unit of the notes.
    clip: where noise was cut off. photons: ``variance = gain x signal + offset``, where it can be
    told.

    Raises DataError where no image has noise.
    """
    data = measurement.data
    if photons and min(data.shape[-2:]) >= 32:
        with suppress(DataError):  # noise-free somewhere: one number for each image, below
            return _of_photons(data), ["noise estimated as gain x signal + offset of each image"]
    mask, axes = measurement.mask, measurement.picture_axes
    estimate = partial(estimate_clipped_noise, clip=clip)
    try:
        sigma, blank = estimate_picture_noise(data, mask, axes, estimate)
    except DataError as error:
        told = f"{str(error).partition(': give')[0]}: give sigma (--sigma)"
        raise DataError(f"{told}, 1/255 of white where it is clean") from None
    found = sigma if sigma.numel() > 1 else estimate(data.reshape(data.shape[-axes:]), mask)
    return found, noise_notes(found, blank, white)


def estimate_clipped_noise(
    image: Tensor, mask: Tensor | None, clip: tuple[float, float] | None
) -> float:
    """`estimate_smooth_noise`, where black and white may have cut the noise off.

    Clipping takes noise away and never adds any: where less of the image lies at the ends, the
    noise seen is more, and true. A picture that is black for the most part seems to have none.
    """
    inside = None if clip is None else _between(image, mask, clip)
    if inside is None or bool(inside.all()):
        return estimate_smooth_noise(image, mask)
    found = []
    for weight in (mask, inside):
        try:
            found.append(estimate_smooth_noise(image, weight))
        except DataError as error:
            failed = error
    if not found:
        raise failed
    return max(found)


def _between(image: Tensor, mask: Tensor | None, clip: tuple[float, float]) -> Tensor | None:
    """1 where noise was hardly cut off, else 0, of the shape of an image; None: nowhere enough.

    Neighbourhoods count whole, with the few pixels that lie at an end: without these, what is left
    is the less noisy part. Where no neighbourhood is as free, it is single pixels.
    """
    inside = ((image > clip[0]) & (image < clip[1])).to(image.dtype)
    planes = inside.reshape(-1, 1, *image.shape[-2:])
    if min(image.shape[-2:]) < 3:
        return None
    edge = NEIGHBOURS // 2
    share = avg_pool2d(planes, NEIGHBOURS, 1, edge, count_include_pad=False)
    freest = (share >= least for least in FREE)
    free = next((found for found in freest if float(found.float().mean()) >= ENOUGH), None)
    if free is not None:
        inside = free.to(image.dtype).reshape(image.shape)
    elif -max_pool2d(-planes, 3, stride=1).mean() < ENOUGH:
        return None
    return inside if mask is None else inside * mask


def spans(measurement: Measurement) -> Tensor:
    """From the darkest to the brightest value of each picture, ``(..., [1,] 1, 1)``."""
    own = tuple(range(-measurement.picture_axes, 0))
    return measurement.data.amax(own, keepdim=True) - measurement.data.amin(own, keepdim=True)


def of_span(measurement: Measurement, white: float) -> tuple[Tensor, list[str]]:
    """1/255 of the span of each picture as its noise, the least of them for one without; and notes.

    Raises DataError where none has a span.
    """
    span = spans(measurement)
    known = span[span > 0]
    if not known.numel():
        raise DataError(
            "the image is constant, and no noise of 1/255 of its span can be taken: give sigma"
        )
    noise = torch.where(span > 0, span, known.min()) / 255
    ends = dict.fromkeys(f"{white * float(value):.4g}" for value in noise.aminmax())
    return noise, [f"noise {' to '.join(ends)} taken as 1/255 of the span"]


def of_photons(weights: Weights | None) -> bool:
    """Whether weights learned on noise that rises with the signal, as those for microscopes did."""
    if weights is None or isinstance(weights, RIM):
        return False
    return bool(load_weights(weights)[1].get("operator", {}).get("sampler") == "microscopy")


def is_uneven(measurement: Measurement) -> bool:
    """Whether the noise differs from pixel to pixel of an image, by more than rounding."""
    noise = measurement.noise
    if not isinstance(noise, Tensor) or noise.ndim < 2 or max(noise.shape[-2:]) == 1:
        return False
    if measurement.mask is not None:  # where it may be anything
        noise = noise.expand(measurement.data.shape)
        known = measurement.mask.expand(noise.shape) > 0
        low = torch.where(known, noise, torch.inf).amin((-2, -1))
        high = torch.where(known, noise, 0.0).amax((-2, -1))
    else:
        low, high = noise.amin((-2, -1)), noise.amax((-2, -1))
    return bool((high > (1 + EVEN) * low).any())


def of_one_level(weights: Weights) -> bool:
    """Whether weights learned on noise of one level in each image, and on nothing else.

    What they answer elsewhere is no image: where noise of 3 of 255 rises by a fifth from one side
    to the other, it is 8 times as wrong.
    """
    if isinstance(weights, RIM):
        return False
    operator = load_weights(weights)[1].get("operator", {})
    alone = operator.get("operator") == "identity"
    return bool(alone and operator.get("sampler") in ("photographs", "pictures"))


def _of_photons(data: Tensor) -> Tensor:
    """The map of the noise of each plane of ``(..., y, x)``."""
    planes = data.reshape(-1, *data.shape[-2:])
    maps = [estimate_photon_noise(plane).sigma(plane) for plane in planes]
    return torch.stack(maps).reshape(data.shape)
