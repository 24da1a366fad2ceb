"""All gates on one image: the method is run on the image, with and without injected light."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rimaging.astro import TARGET, MethodName, Psf, deconvolve, with_psf
from rimaging.astro.noise import Correlation, example, with_correlation
from rimaging.astro.psf import takes_beam
from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.background import sky_level
from rimaging.datasets.exposure import with_exposure
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.sources import Array, Source, as_measurement
from rimaging.errors import DataError, OptionError
from rimaging.method import Weights
from rimaging.operators.target import largest_target
from rimaging.uncertainty import Auto, ErrorMap
from rimaging.validate.cutout import middle, plane_of
from rimaging.validate.experiments import (
    Answer,
    Estimator,
    left_over,
    on_a_shifted_grid,
    only_noise,
    respond,
    seen_again,
    with_wrong_psf,
)
from rimaging.validate.field import Field, field_of
from rimaging.validate.gate import Gate, table
from rimaging.validate.residual import reconvolved, residual_tiles
from rimaging.validate.shear import SHEAR, shear_bias
from rimaging.validate.sources import Catalogue, seen_by_psf
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

SOURCES, QUICK_SOURCES = 192, 32
"""Of each kind in one injection, at most, where there is room: medians of 48 say a third of what
the gates ask by chance alone."""


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
    error_map: ErrorMap | Auto | None = "auto",
    add_residual: bool = False,
    ensemble: bool = False,
    noise_correlation: Correlation | None = None,
    quick: bool = False,
    seed: int = 0,
) -> Validation:
    """Say by injection whether `rimaging.astro.deconvolve` can be trusted on this image.

    Stars and galaxies are drawn by the PSF of the image, added to it, and sought in the change of
    the output; see `rimaging.validate.gate.Gate`. Injected light brings no photon noise.

    Args:
        image, psf, noise, mask, target, weights, method, iterations, add_residual, ensemble,
            noise_correlation: as for `deconvolve`; what is drawn as noise correlates so too.
        band: plane of a cube; the middle one by default.
        size: side of the central cut-out in pixels, at most; 512 by default.
        error_map: what gate 8 judges, as for `deconvolve`: by default the map that comes with it.
            None leaves that gate out.
        quick: 128 pixels and a third of the sources.
        seed: of places and brightnesses.

    Raises:
        OptionError: a band that does not exist, a target of width 0.
        DataError, ShapeError: no PSF, an image that is too small, as `deconvolve`.
    """
    whole = with_exposure(as_measurement(image, "sky", noise=noise, mask=mask))
    clean_beam = takes_beam(whole, psf)
    whole, varying = with_psf(whole, psf)
    plane = middle(plane_of(whole, band), size or (QUICK_SIDE if quick else SIDE))
    correlation = None
    if plane.psf is not None:
        plane, correlation = with_correlation(
            plane, example(plane.psf), noise_correlation, clean_beam
        )
    plane = plane.completed()
    if plane.psf is None:
        raise DataError("validation needs a PSF: give psf= (--psf), as for deconvolve")
    if target is not None and not target > 0:
        raise OptionError(f"validation needs a target above 0 pixels, got {target}: leave it out")
    fwhm = largest_target(plane.psf, TARGET) if target is None else float(target)
    level = float(sky_level(plane.data, plane.mask))

    def estimate(
        measurement: Measurement, width: float, sure: ErrorMap | Auto | None = None
    ) -> Answer:
        found = deconvolve(
            measurement,
            target=width,
            weights=weights,
            method=method,
            iterations=iterations,
            background=level,
            error_map=sure,
            add_residual=add_residual,
            ensemble=ensemble,
            noise_correlation=correlation,
        )
        known = found.uncertainty
        return Answer(
            to_tensor(found.image),
            to_tensor(found.residual),
            None if known is None else to_tensor(known),
        )

    facts = {
        "method": method
        + (", ensemble" if ensemble else "")
        + (", residual put back" if add_residual else ""),
        "pixels": " x ".join(map(str, plane.data.shape)),
        "target FWHM": f"{fwhm:.2f} px",
        "sky": f"{level:.5g}",
        "assumed": list(plane.provenance.get("assumed", [])),
    }
    if varying is not None:
        facts["PSF"] = f"that of {varying.name} in the middle: it varies over the image"
    place = field_of(plane, level, fwhm, seed, correlation)
    facts |= {"PSF FWHM": f"{place.fwhm:.2f} px", "sigma": f"{place.sigma:.4g}"}
    sure = None if error_map is None else partial(estimate, sure=error_map)
    return run_gates(place, estimate, QUICK_SOURCES if quick else SOURCES, facts, sure)


def run_gates(
    place: Field,
    estimate: Estimator,
    sources: int,
    facts: dict[str, Any] | None = None,
    sure: Estimator | None = None,
) -> Validation:
    """Put any estimator through the gates, with about so many sources of each kind.

    sure: the same method, which also says how sure it is; by default ``estimate`` itself.
    """
    target, unit, psf = place.target, place.flux_error, place.psf
    radius, half = place.fwhm, place.spacing // 2
    base = estimate(place.measurement, target)

    def answer(catalogue: Catalogue) -> tuple[Response, Answer]:
        return respond(place, estimate, base, catalogue)

    stars = [answer(catalogue) for catalogue in place.star_fields(sources)]
    isolated = [response for response, _ in stars]
    bright = stars[len(stars) // 2 :]
    crowded = [answer(place.crowd(sources))[0] for _ in range(place.rounds(sources))]
    lenses = [place.galaxies(sources) for _ in range(place.rounds(sources))]
    sheared = [
        (answer(galaxies.sheared(SHEAR, SHEAR))[0], answer(galaxies.sheared(-SHEAR, -SHEAR))[0])
        for galaxies in lenses
    ]
    rest = left_over(place, place.measurement, base.image)
    lost = [
        (left_over(place, place.with_light(seen.catalogue), found.image) - rest, seen)
        for seen, found in bright
    ]
    wrong = with_wrong_psf(place, estimate, bright[0][0].catalogue)
    gates = [
        star_flux(isolated, crowded, unit, radius),
        aperture_fluxes(
            [*isolated, *(plus for plus, _ in sheared)], unit, (radius, 1.5 * radius, half - 1.0)
        ),
        centroids(isolated, unit, half, target),
        residual_tiles(base.residual, place.measurement.mask, [r for r, _ in bright], unit, target),
        shear_bias(sheared, half, place.fwhm),
        output_psf(isolated, unit, half, target),
        only_noise(place, estimate),
        seen_again(place, sure or estimate, base, sources),
        wrong_width(wrong, unit, 2 * radius, target),
        on_a_shifted_grid(place, estimate, base),
        reconvolved(
            place.good(rest),
            place.good(place.measurement.data - place.level),
            place.sigma,
            [(left, seen_by_psf(r.catalogue, psf, place.shape), r) for left, r in lost],
            unit,
            1.5 * radius,
        ),
    ]
    return Validation(
        gates=gates, trial=Trial(place, base, isolated, crowded), facts=dict(facts or {})
    )
