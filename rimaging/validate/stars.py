"""Gates of injected stars: flux, apertures, position, the PSF of the output, a wrong PSF.

Each takes what the light of the injected sources became: the image with them minus the image
without, so that the user's own sources and most of the noise drop out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rimaging.validate.gate import Gate, judged
from rimaging.validate.photometry import GAUSSIAN, apertures, mean, median, moments
from rimaging.validate.sources import Catalogue

FLUX, CROWDED = 0.01, 0.02
CENTROID, FAR = 0.02, 0.1
WIDTH, ROUNDNESS = 0.05, 0.02
WRONG = 0.02
BRIGHT = 50.0
"""SNR from which a star shows position and shape without its noise."""


class Response(NamedTuple):
    """``found``: what the method made of the light; ``truth``: that light seen by the target."""

    found: Tensor
    truth: Tensor
    catalogue: Catalogue


def ratios(response: Response, radius: float) -> Tensor:
    """Flux found over flux injected within an aperture, for each source."""
    where = response.catalogue.x, response.catalogue.y
    return apertures(response.found, *where, radius) / apertures(response.truth, *where, radius)


def brightness(responses: Sequence[Response], unit: float) -> Tensor:
    """SNR of every source of the responses."""
    return torch.cat([response.catalogue.flux for response in responses]) / unit


def star_flux(
    isolated: Sequence[Response], crowded: Sequence[Response], unit: float, radius: float
) -> Gate:
    """Gate 1: the ratio ``m`` of fluxes, and its slope ``d ln F_out / d ln F_in``.

    unit: flux of SNR 1; radius: of the aperture of isolated stars, half of it for crowded ones.
    """
    numbers: dict[str, float] = {}
    passed, said = True, []
    for name, responses, size, limit in (
        ("isolated", isolated, radius, FLUX),
        ("crowded", crowded, radius / 2, CROWDED),
    ):
        ratio = torch.cat([ratios(response, size) for response in responses])
        snr = brightness(responses, unit)
        m, slope = median(ratio), _slope(ratio, snr)
        faint = median(ratio[snr < 10]) if bool((snr < 10).any()) else math.nan
        numbers |= {f"{name} m": m, f"{name} slope": slope, f"{name} stars": float(len(ratio))}
        passed &= abs(m - 1) < limit and abs(slope - 1) < limit
        said.append(f"{name} ({len(ratio)}): flux x {m:.4f}, slope {slope:.4f}")
        if name == "isolated":
            numbers["5 to 10 sigma m"] = faint
            said[-1] += f", at 5 to 10 sigma x {faint:.3f}"
    return Gate(
        number=1,
        name="star flux against magnitude",
        outcome=judged(passed),
        finding="; ".join(said),
        asked=f"ratio and slope within {FLUX:.0%} of 1 (crowded {CROWDED:.0%})",
        numbers=numbers,
    )


def _slope(ratio: Tensor, snr: Tensor) -> float:
    """Slope of ``ln F_out`` over ``ln F_in``, by the medians of six classes of brightness."""
    classes = snr.argsort().chunk(min(6, len(snr)))
    x = torch.tensor([median(snr[part].log()) for part in classes])
    y = torch.tensor([median(ratio[part].clamp_min(1e-3).log()) for part in classes])
    x, y = x - x.mean(), y - y.mean()
    return 1 + float((x * y).sum() / x.square().sum().clamp_min(1e-12))


def aperture_fluxes(responses: Sequence[Response], unit: float, radii: Sequence[float]) -> Gate:
    """Gate 2: total flux of stars and galaxies above SNR 20 in apertures of several radii."""
    numbers = {}
    bright = [Response(r.found, r.truth, _above(r.catalogue, 20 * unit)) for r in responses]
    for radius in radii:
        numbers[f"r = {radius:.1f} px"] = median(torch.cat([ratios(r, radius) for r in bright]))
    worst = max((abs(value - 1) for value in numbers.values()), default=math.nan)
    told = ", ".join(f"{value:.4f} ({name})" for name, value in numbers.items())
    return Gate(
        number=2,
        name="total flux in apertures",
        outcome=judged(worst < FLUX),
        finding=f"median flux ratio {told}",
        asked=f"each within {FLUX:.0%} of 1",
        numbers=numbers,
    )


def centroids(responses: Sequence[Response], unit: float, half: int, fwhm: float) -> Gate:
    """Gate 3: shift of bright stars; its median over all, and in quarters of the pixel phase.

    A median, since in a real field a few stars fall beside others that are not injected: what is
    between them is divided otherwise, and a mean would tell of these few alone.
    """
    shifts, phases = [], []
    for response in responses:
        stars = _above(response.catalogue, BRIGHT * unit)
        found = moments(response.found, stars.x, stars.y, half, fwhm)
        truth = moments(response.truth, stars.x, stars.y, half, fwhm)
        shifts.append(torch.stack((found.x - truth.x, found.y - truth.y), dim=1))
        phases.append(torch.stack((stars.x - stars.x.round(), stars.y - stars.y.round()), dim=1))
    shift, phase = torch.cat(shifts), torch.cat(phases)
    measured = torch.isfinite(shift).all(dim=1)
    shift, phase = shift[measured], phase[measured]
    quarter = ((phase + 0.5) * 4).long().clamp(0, 3)
    worst = max(
        (
            abs(median(shift[quarter[:, axis] == q, axis]))
            for axis in (0, 1)
            for q in range(4)
            if bool((quarter[:, axis] == q).any())
        ),
        default=math.nan,
    )
    typical = median(shift.square().sum(dim=1).sqrt())
    far = float((shift.square().sum(dim=1).sqrt() > FAR).double().mean()) if len(shift) else 0.0
    return Gate(
        number=3,
        name="centroid by PSF phase",
        outcome=judged(worst < CENTROID),
        finding=(
            f"median shift x {median(shift[:, 0]):+.4f}, y {median(shift[:, 1]):+.4f} px, at the "
            f"worst phase {worst:.4f}; of a star {typical:.4f}, {far:.0%} beyond {FAR} px "
            f"({len(shift)} stars)"
        ),
        asked=f"median below {CENTROID} px at every phase",
        numbers={"worst": worst, "typical": typical, "far": far, "stars": float(len(shift))},
    )


def output_psf(responses: Sequence[Response], unit: float, half: int, target: float) -> Gate:
    """Gate 6: width and shape of injected stars in the output, beside the declared target."""
    widths, shapes, faint = [], [], []
    for response in responses:
        stars = response.catalogue
        found = moments(response.found, stars.x, stars.y, half, target)
        truth = moments(response.truth, stars.x, stars.y, half, target)
        bright = stars.flux >= BRIGHT * unit
        widths.append((found.sigma / truth.sigma)[bright])
        faint.append((found.sigma / truth.sigma)[~bright])
        shapes.append(torch.stack((found.g1 - truth.g1, found.g2 - truth.g2), dim=1)[bright])
    width, shape = median(torch.cat(widths)), torch.cat(shapes)
    round_ = math.hypot(mean(shape[:, 0]), mean(shape[:, 1]))
    broad = median(torch.cat(faint))
    lost = float((~torch.isfinite(torch.cat(widths))).double().mean())
    return Gate(
        number=6,
        name="effective PSF of the output",
        outcome=judged(abs(width - 1) < WIDTH and round_ < ROUNDNESS and lost < 0.1),
        finding=(
            f"FWHM {width * target:.2f} px where {target:.2f} was declared (faint stars "
            f"{broad * target:.2f}), ellipticity {round_:.4f}"
        ),
        asked=f"FWHM within {WIDTH:.0%} of the target, ellipticity below {ROUNDNESS}",
        numbers={"FWHM ratio": width, "faint FWHM ratio": broad, "ellipticity": round_},
    )


def wrong_width(changed: Mapping[str, Response], unit: float, radius: float, target: float) -> Gate:
    """Gate 9: the same stars with a PSF 5 % too wide and too narrow."""
    numbers: dict[str, float] = {}
    said = []
    for name, response in changed.items():
        stars = _above(response.catalogue, 20 * unit)
        flux = median(ratios(Response(response.found, response.truth, stars), radius))
        half = math.ceil(3 * target)
        found = moments(response.found, stars.x, stars.y, half, target)
        fwhm = GAUSSIAN * median(found.sigma)
        numbers |= {f"{name}: flux": flux, f"{name}: FWHM": fwhm}
        said.append(f"{name}: flux x {flux:.4f}, FWHM {fwhm:.2f} px")
    fluxes = [value for name, value in numbers.items() if name.endswith("flux")]
    worst = max((abs(value - 1) for value in fluxes), default=math.nan)
    return Gate(
        number=9,
        name="PSF width wrong by 5 %",
        outcome=judged(worst < WRONG),
        finding="; ".join(said),
        asked=f"flux of stars within {WRONG:.0%}",
        numbers=numbers,
    )


def _above(catalogue: Catalogue, flux: float) -> Catalogue:
    kept = catalogue.flux >= flux
    return catalogue[kept] if bool(kept.any()) else catalogue
