"""Gates of stars: the truth passes, each deliberate fault fails its gate and only its own."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rimaging.operators.convolution import Convolution
from rimaging.operators.target import gaussian_psf
from rimaging.validate.stars import (
    aperture_fluxes,
    centroids,
    output_psf,
    star_flux,
    wrong_width,
)

HALF = 8


def test_the_truth_passes(place: Any, isolated: Any, crowded: Any) -> None:
    unit, fwhm = place.flux_error, place.fwhm
    gates = [
        star_flux(isolated, crowded, unit, fwhm),
        aperture_fluxes(isolated, unit, (fwhm, 2 * fwhm)),
        centroids(isolated, unit, HALF, 2.0),
        output_psf(isolated, unit, HALF, 2.0),
        wrong_width({"same": isolated[1]}, unit, fwhm, 2.0),
    ]
    assert [gate.outcome for gate in gates] == ["pass"] * 5
    assert [gate.number for gate in gates] == [1, 2, 3, 6, 9]


def test_a_flux_bias_of_5_percent_fails_gates_1_and_2(
    place: Any, isolated: Any, crowded: Any, spoilt: Any
) -> None:
    unit, fwhm = place.flux_error, place.fwhm
    bright, crowd = (spoilt(r, lambda x: 1.05 * x) for r in (isolated, crowded))
    assert star_flux(bright, crowded, unit, fwhm).outcome == "fail"
    assert star_flux(isolated, crowd, unit, fwhm).outcome == "fail"
    assert aperture_fluxes(bright, unit, (fwhm,)).outcome == "fail"
    assert wrong_width({"wide": bright[1]}, unit, fwhm, 2.0).outcome == "fail"
    assert centroids(bright, unit, HALF, 2.0).outcome == "pass"


def test_faint_stars_that_are_dimmed_show_in_the_slope(
    place: Any, isolated: Any, crowded: Any, spoilt: Any
) -> None:
    unit = place.flux_error
    dim = [*spoilt(isolated[:1], lambda x: 0.8 * x), *isolated[1:]]
    gate = star_flux(dim, crowded, unit, place.fwhm)
    assert gate.outcome == "fail" and gate.numbers["isolated slope"] > 1.01
    assert abs(gate.numbers["5 to 10 sigma m"] - 0.8) < 1e-3


def test_a_shift_of_a_tenth_of_a_pixel_fails_gate_3_alone(
    place: Any, isolated: Any, crowded: Any, spoilt: Any, moved: Any
) -> None:
    unit = place.flux_error
    shifted = spoilt(isolated, lambda x: moved(x, 0.1))
    gate = centroids(shifted, unit, HALF, 2.0)
    assert gate.outcome == "fail" and abs(gate.numbers["worst"] - 0.1) < 0.01
    assert star_flux(shifted, crowded, unit, 2 * place.fwhm).outcome == "pass"


def test_a_blur_fails_the_output_psf_and_no_flux(
    place: Any, isolated: Any, crowded: Any, spoilt: Any
) -> None:
    def blur(image: Tensor) -> Tensor:
        return Convolution(gaussian_psf(1.5), image.shape, "zero")(image)

    unit = place.flux_error
    wide = spoilt(isolated, blur)
    gate = output_psf(wide, unit, HALF, 2.0)
    assert gate.outcome == "fail" and abs(gate.numbers["FWHM ratio"] - 1.25) < 0.02
    assert aperture_fluxes(wide, unit, (2 * place.fwhm,)).outcome == "pass"


def test_a_star_that_a_neighbour_pulls_does_not_stand_for_all(place: Any, isolated: Any) -> None:
    unit = place.flux_error
    pulled = []
    for response in isolated:
        found = response.found.clone()
        x, y = (int(part[0].round()) for part in (response.catalogue.x, response.catalogue.y))
        found[y, x + 2] += 0.5 * response.found[y, x]
        pulled.append(response._replace(found=found))
    gate = centroids(pulled, unit, HALF, 2.0)
    assert gate.outcome == "pass" and gate.numbers["far"] > 0
