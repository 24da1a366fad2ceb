"""What is done to the image: seen again, as noise, with a wrong PSF, on another grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.datasets.psf import resampled
from rimaging.operators.convolution import Convolution
from rimaging.operators.target import gaussian_psf, largest_target, relative_kernel
from rimaging.validate.coverage import Repetition, error_map
from rimaging.validate.empty import pure_noise, shifted_grid
from rimaging.validate.field import Field
from rimaging.validate.gate import Gate
from rimaging.validate.sources import Catalogue, seen_by_psf, seen_by_target
from rimaging.validate.stars import Response

OFFSET = (5, 3)
WRONG = 0.05


class Answer(NamedTuple):
    """What a method says: image ``(y, x)``, residual, and an uncertainty if it can.

    The residual is that of what it took for the sky, in units of the noise; of the image itself it
    is `left_over`, another one where the residual was put back into the image.
    """

    image: Tensor
    residual: Tensor
    uncertainty: Tensor | None = None


Estimator = Callable[[Measurement, float], Answer]
"""From one plane and the FWHM of the target to an answer."""


def respond(
    place: Field, estimate: Estimator, base: Answer, catalogue: Catalogue
) -> tuple[Response, Answer]:
    """What the method makes of injected light: the change of its answer."""
    answer = estimate(place.with_light(catalogue), place.target)
    truth = seen_by_target(catalogue, place.target, 2 * place.spacing, place.shape)
    return Response(answer.image - base.image, truth, catalogue), answer


def left_over(place: Field, seen: Measurement, image: Tensor) -> Tensor:
    """``y - K x`` of an image ``x``, 0 at bad pixels."""
    kernel = relative_kernel(place.psf, place.target).to(image)
    operator = Convolution(kernel, place.shape, "reflect")
    return place.good(seen.data - place.level - operator(image - place.level))


def only_noise(place: Field, estimate: Estimator) -> Gate:
    """Two images of pure noise."""
    outputs, inputs = [], []
    for _ in range(2):
        noise = place.standard_noise()
        # Its mean is known to be zero, so that an offset of the output is the method's.
        noise = (noise - noise.mean()) * place.noise
        data = noise - noise.mean() + place.level
        answer = estimate(replace(place.measurement, data=data, mask=None), place.target)
        outputs.append(answer.image - place.level)
        inputs.append(data - place.level)
    profiles = (gaussian_psf(place.target), place.psf)
    return pure_noise(outputs, inputs, profiles, place.flux_error, place.sigma, place.spacing // 2)


def seen_again(place: Field, estimate: Estimator, base: Answer, sources: int) -> Gate:
    """Take the answer for the truth, add light, observe it with new noise, and ask how sure."""
    light = place.mixture(sources)
    seen = place.measurement.data - left_over(place, place.measurement, base.image)
    noise = place.noise * place.standard_noise()
    data = seen + seen_by_psf(light, place.psf, place.shape) + noise
    again = estimate(replace(place.measurement, data=data), place.target)
    truth = seen_by_target(light, place.target, 2 * place.spacing, place.shape)
    found = Repetition(again.image, base.image + truth, again.uncertainty, place.measured, light)
    return error_map(found, place.target)


def with_wrong_psf(place: Field, estimate: Estimator, stars: Catalogue) -> dict[str, Response]:
    """What the method makes of stars when its PSF is too wide, too narrow."""
    found = {}
    lit = place.with_light(stars)
    truth = seen_by_target(stars, place.target, 2 * place.spacing, place.shape)
    for name, factor in (("5 % wide", 1 + WRONG), ("5 % narrow", 1 - WRONG)):
        psf = stretched(place.psf, factor)
        target = largest_target(psf, place.target)
        images = [
            estimate(replace(seen, psf=psf), target).image for seen in (lit, place.measurement)
        ]
        found[name] = Response(images[0] - images[1], truth, stars)
    return found


def stretched(psf: Tensor, factor: float) -> Tensor:
    """A PSF ``(y, x)`` with odd sides so many times wider, on its stamp, of the same sum."""
    wide = resampled(psf, factor, (psf.shape[0] // 2, psf.shape[1] // 2))
    return wide * (psf.sum() / wide.sum())


def on_a_shifted_grid(place: Field, estimate: Estimator, base: Answer) -> Gate:
    """The image without its first rows and columns."""
    rows, columns = OFFSET
    whole = place.measurement
    part = replace(
        whole,
        data=whole.data[rows:, columns:],
        noise=_part(whole.noise, rows, columns),
        mask=_part(whole.mask, rows, columns),
    )
    answer = estimate(part, place.target)
    margin = min(48, min(place.shape) // 4)
    return shifted_grid(base.image, answer.image, OFFSET, place.level, place.sigma, margin)


def _part(array: Any, rows: int, columns: int) -> Any:
    if not isinstance(array, Tensor) or array.ndim < 2 or array.shape[-2] == 1:
        return array
    return array[..., rows:, columns:]
