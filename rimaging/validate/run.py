"""All gates on one image: the method is run on the image, with and without injected light."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rimaging.astro import TARGET, MethodName, Psf, deconvolve, with_psf
from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.background import sky_level
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.psf import resampled
from rimaging.datasets.sources import Array, Source, as_measurement
from rimaging.errors import DataError, OptionError
from rimaging.operators.target import gaussian_psf, largest_target
from rimaging.reconstruct import Weights
from rimaging.reconstruction import centre_crop
from rimaging.validate.empty import error_map, pure_noise, shifted_grid
from rimaging.validate.field import Field, field_of
from rimaging.validate.gate import Gate, table
from rimaging.validate.residual import reconvolved, residual_tiles
from rimaging.validate.shear import SHEAR, shear_bias
from rimaging.validate.sources import Catalogue, seen_by_psf, seen_by_target
from rimaging.validate.stars import (
    Response,
    aperture_fluxes,
    centroids,
    output_psf,
    star_flux,
    wrong_width,
)

SIDE, QUICK_SIDE = 512, 128
"""Pixels of the cut-out that is looked at."""

SOURCES, QUICK_SOURCES = 48, 16
OFFSET = (5, 3)
WRONG = 0.05


class Answer(NamedTuple):
    """What a method says: image ``(y, x)``, ``(y - K x) / sigma``, and an uncertainty if it can."""

    image: Tensor
    residual: Tensor
    uncertainty: Tensor | None = None


Estimator = Callable[[Measurement, float], Answer]
"""From one plane and the FWHM of the target to an answer."""


@dataclass(frozen=True)
class Trial:
    """An answer to the image, with some of its evidence kept for the page."""

    field: Field
    base: Answer
    stars: list[Response]
    crowded: list[Response]


@dataclass(frozen=True, kw_only=True)
class Validation:
    """The gates of one image, what was assumed, and the evidence."""

    gates: list[Gate]
    trial: Trial
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether no gate failed."""
        return all(gate.outcome != "fail" for gate in self.gates)

    def text(self) -> str:
        """For the terminal."""
        return table(self.gates)

    def report(self, path: str | Path) -> Path:
        """Write one self-contained HTML page with the gates and plots."""
        from rimaging.validate.page import write

        return write(path, self)


def validate(
    image: Source,
    psf: Psf | None = None,
    noise: float | Array | None = None,
    mask: Array | None = None,
    target: float | None = None,
    weights: Weights = "astro",
    *,
    method: MethodName = "rim",
    iterations: int | None = None,
    band: int | None = None,
    size: int | None = None,
    quick: bool = False,
    seed: int = 0,
) -> Validation:
    """Say by injection whether `rimaging.astro.deconvolve` can be trusted on this image.

    Stars and galaxies are drawn by the PSF of the image, added to it, and sought in the change of
    the output; see `rimaging.validate.gate.Gate`. Injected light brings no photon noise.

    Args:
        image, psf, noise, mask, target, weights, method, iterations: as for `deconvolve`.
        band: plane of a cube; the middle one by default.
        size: side of the central cut-out in pixels, at most; 512 by default.
        quick: 128 pixels and a third of the sources.
        seed: of places and brightnesses.

    Raises:
        OptionError: a band that does not exist, a target of width 0.
        DataError, ShapeError: no PSF, an image that is too small, as `deconvolve`.
    """
    whole = as_measurement(image, "sky", noise=noise, mask=mask)
    whole, varying = with_psf(whole, psf)
    plane = _cut(_plane(whole, band), size or (QUICK_SIDE if quick else SIDE)).completed()
    if plane.psf is None:
        raise DataError("validation needs a PSF: give psf=, as for deconvolve")
    if target is not None and not target > 0:
        raise OptionError(f"validation needs a target above 0 pixels, got {target}: leave it out")
    fwhm = largest_target(plane.psf, TARGET) if target is None else float(target)
    level = float(sky_level(plane.data, plane.mask))

    def estimate(measurement: Measurement, width: float) -> Answer:
        found = deconvolve(
            measurement,
            target=width,
            weights=weights,
            method=method,
            iterations=iterations,
            background=level,
        )
        known = found.uncertainty
        return Answer(
            to_tensor(found.image),
            to_tensor(found.residual),
            None if known is None else to_tensor(known),
        )

    facts = {
        "method": method,
        "pixels": " x ".join(map(str, plane.data.shape)),
        "target FWHM": f"{fwhm:.2f} px",
        "sky": f"{level:.5g}",
        "assumed": list(plane.provenance.get("assumed", [])),
    }
    if varying is not None:
        facts["PSF"] = f"that of {varying.name} in the middle: it varies over the image"
    place = field_of(plane, level, fwhm, seed)
    facts |= {"PSF FWHM": f"{place.fwhm:.2f} px", "sigma": f"{place.sigma:.4g}"}
    return run_gates(place, estimate, QUICK_SOURCES if quick else SOURCES, facts)


def run_gates(
    place: Field, estimate: Estimator, sources: int, facts: dict[str, Any] | None = None
) -> Validation:
    """Put any estimator through the gates, with about so many sources of each kind."""
    target, unit, psf = place.target, place.flux_error, place.psf
    radius, half = place.fwhm, place.spacing // 2
    base = estimate(place.measurement, target)

    def respond(catalogue: Catalogue) -> tuple[Response, Answer]:
        answer = estimate(place.with_light(catalogue), target)
        truth = seen_by_target(catalogue, target, 2 * place.spacing, place.shape)
        return Response(answer.image - base.image, truth, catalogue), answer

    stars = [respond(catalogue) for catalogue in place.star_fields(sources)]
    isolated = [response for response, _ in stars]
    bright = stars[len(stars) // 2 :]
    crowded = [respond(place.crowd(sources))[0] for _ in range(place.rounds(sources))]
    lenses = [place.galaxies(sources) for _ in range(place.rounds(sources))]
    sheared = [
        (respond(galaxies.sheared(SHEAR, SHEAR))[0], respond(galaxies.sheared(-SHEAR, -SHEAR))[0])
        for galaxies in lenses
    ]
    lost = [
        ((answer.residual - base.residual) * _sigma(place.measurement), response)
        for response, answer in bright
    ]
    gates = [
        star_flux(isolated, crowded, unit, radius),
        aperture_fluxes(
            [*isolated, *(plus for plus, _ in sheared)], unit, (radius, 1.5 * radius, half - 1.0)
        ),
        centroids(isolated, unit, half, target),
        residual_tiles(base.residual, place.measurement.mask, [r for r, _ in bright], unit, target),
        shear_bias(sheared, half, place.fwhm),
        output_psf(isolated, unit, half, target),
        _pure_noise(place, estimate),
        _error_map(place, estimate, base),
        wrong_width(_wrong(place, estimate, bright[0][0].catalogue), unit, 2 * radius, target),
        _shifted(place, estimate, base),
        reconvolved(
            _masked(base.residual * _sigma(place.measurement), place.measurement),
            _masked(place.measurement.data - place.level, place.measurement),
            place.sigma,
            [(left, seen_by_psf(r.catalogue, psf, place.shape), r) for left, r in lost],
            unit,
            1.5 * radius,
        ),
    ]
    return Validation(
        gates=gates, trial=Trial(place, base, isolated, crowded), facts=dict(facts or {})
    )


def _pure_noise(place: Field, estimate: Estimator) -> Gate:
    outputs, inputs = [], []
    for _ in range(2):
        noise = torch.randn(place.shape, generator=place.generator)
        # Its mean is known to be zero, so that an offset of the output is the method's.
        noise = (noise - noise.mean()) * _sigma(place.measurement)
        data = noise - noise.mean() + place.level
        answer = estimate(replace(place.measurement, data=data, mask=None), place.target)
        outputs.append(answer.image - place.level)
        inputs.append(data - place.level)
    profiles = (gaussian_psf(place.target), place.psf)
    return pure_noise(outputs, inputs, profiles, place.sigma, place.spacing // 2)


def _error_map(place: Field, estimate: Estimator, base: Answer) -> Gate:
    """Take the answer for the truth, observe it again, and look where it lies."""
    if base.uncertainty is None:
        return error_map(base.image, base.image, None)
    sigma = _sigma(place.measurement)
    seen = place.measurement.data - base.residual * sigma
    noise = sigma * torch.randn(place.shape, generator=place.generator)
    again = estimate(replace(place.measurement, data=seen + noise), place.target)
    return error_map(again.image, base.image, again.uncertainty)


def _wrong(place: Field, estimate: Estimator, stars: Catalogue) -> dict[str, Response]:
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


def _shifted(place: Field, estimate: Estimator, base: Answer) -> Gate:
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


def _sigma(measurement: Measurement) -> Tensor:
    assert measurement.noise is not None
    return torch.as_tensor(measurement.noise).to(measurement.data).expand(measurement.data.shape)


def _masked(values: Tensor, measurement: Measurement) -> Tensor:
    mask = measurement.mask
    return values if mask is None else torch.where(mask.expand(values.shape) > 0, values, 0)


def _plane(measurement: Measurement, band: int | None) -> Measurement:
    """One plane of a cube with its own noise, mask and PSF."""
    planes = math.prod(measurement.data.shape[:-2])
    chosen = planes // 2 if band is None else band
    if not 0 <= chosen < planes:
        raise OptionError(f"there is no band {band}: the image has {planes}, counted from 0")
    lead = measurement.data.shape[:-2]

    def pick(array: Any) -> Any:
        if not isinstance(array, Tensor) or array.ndim < 2:
            return array
        return array.expand(*lead, *array.shape[-2:]).reshape(planes, *array.shape[-2:])[chosen]

    return Measurement(
        kind="sky",
        data=pick(measurement.data),
        noise=pick(measurement.noise),
        mask=pick(measurement.mask),
        psf=pick(measurement.psf),
        provenance=measurement.provenance,
    )


def _cut(measurement: Measurement, side: int) -> Measurement:
    """The middle of the image, at most ``side`` pixels wide."""
    size = [min(side, n) for n in measurement.data.shape[-2:]]

    def crop(array: Any) -> Any:
        if not isinstance(array, Tensor) or array.ndim < 2:
            return array
        return centre_crop(array, size)

    return replace(
        measurement,
        data=crop(measurement.data),
        noise=crop(measurement.noise),
        mask=crop(measurement.mask),
    )
