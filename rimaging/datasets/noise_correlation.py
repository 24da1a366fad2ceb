"""How the noise of an image correlates between pixels, from its quiet parts."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rimaging.datasets.background import blocks
from rimaging.datasets.noise import DIFFERENCES, estimate_band_noise, estimate_image_noise
from rimaging.datasets.own_unit import power_of_two
from rimaging.errors import DataError
from rimaging.operators.correlated import NoiseCorrelation

__all__ = [
    "estimate_noise_correlation",
    "estimate_sky_noise",
    "found_correlation",
    "restored_noise",
    "single_pixels",
]

SIDE = 24
"""Edge in pixels of the blocks that are looked at."""
REACH = 3
"""Farthest lag along each axis: drizzling and resampling reach no farther."""
QUIET = 0.25
"""Share of the blocks, those of least scatter, that are taken for empty sky."""
LEAST, MOST = 8, 4096
"""Blocks: fewer say too little, more cannot say it better."""
LOOK = 512
"""Pixels along a side of noise that is drawn to see what a look at it makes of it; at most."""
CLEAR = 0.1
"""Correlation of neighbours from which on noise is not taken for white."""


def estimate_noise_correlation(data: Tensor, mask: Tensor | None = None) -> NoiseCorrelation:
    """Estimate the correlation of the noise of ``(..., y, x)``, one for all bands.

    Each plane is cut into blocks of `SIDE` pixels without bad ones, a plane is fitted to each, and
    the quarter of least scatter is taken for empty: ``rho_l = mean r_i r_(i + l) / mean r_i^2``.
    Where no part is empty (crowded fields, nebulae) unresolved light counts as noise.

    Raises DataError where fewer than `LEAST` blocks are whole, or these have no noise.
    """
    return _correlation([part for part, _ in _quiet_parts(data, mask)])


def _correlation(quiet: list[Tensor]) -> NoiseCorrelation:
    powers = [float(part.square().mean()) for part in quiet]
    found = [_lags(part) / power for part, power in zip(quiet, powers, strict=True) if power > 0]
    if not found:
        raise DataError("the quiet parts of the image have no noise that could correlate")
    return NoiseCorrelation(torch.stack(found).mean(dim=0))


def single_pixels(data: Tensor, mask: Tensor | None, correlation: NoiseCorrelation) -> Tensor:
    """Sigma of the pixels of ``(..., y, x)``, ``(..., 1, 1)``, where neighbours correlate.

    What `estimate_band_noise` sees of white noise, over what its differences leave of this one.
    """
    return estimate_band_noise(data, mask) / math.sqrt(correlation.density(DIFFERENCES))


def found_correlation(data: Tensor, mask: Tensor | None, psf: Tensor) -> NoiseCorrelation | None:
    """What `estimate_noise_correlation` says, where it can only be the noise of a pipeline.

    That is where neighbours correlate by `CLEAR` or more and the correlation falls off sooner than
    anything that a PSF ``(y, x)`` has seen: at two pixels it is below half of the PSF's, and as
    much light as it allows there beside white noise leaves neighbours `CLEAR` over. Else None: the
    noise is white, or unresolved light hides it, or the image is too small to tell.
    """
    try:
        quiet = [part for part, _ in _quiet_parts(data, mask)]
        if max(map(_beside, quiet)) < CLEAR / 2:
            return None  # at a glance, since white is what most noise is
        correlation = _correlation(quiet)
    except DataError:
        return None
    seen = NoiseCorrelation.of(psf)
    narrow = correlation.at(2) < 0.5 * seen.at(2)
    if not narrow or correlation.neighbours < CLEAR:
        return None
    beyond = correlation.at(2)
    light = beyond / seen.at(2) * seen.at(1) if beyond > 0 else 0.0
    return correlation if correlation.neighbours - light >= CLEAR else None


def restored_noise(data: Tensor, mask: Tensor | None, beams: Tensor) -> Tensor | None:
    """Sigma of the pixels of ``(..., y, x)``, ``(..., 1, 1)``, of an image made with a clean beam.

    The noise of an interferometer lies within its uv plane, so that it correlates about as the
    beam does, and differences of neighbours hardly see it: the scatter of the quiet parts is taken,
    over what the same look at such noise of variance 1 makes of it. ``beams``: one ``(y, x)``, or
    one for each band. None where quiet parts do not correlate so (white noise was added), or are
    too few.
    """
    each = beams.reshape(-1, *beams.shape[-2:])
    try:
        quiet = _quiet_parts(data, mask)
        correlation = _correlation([part for part, _ in quiet])
    except DataError:
        return None
    if correlation.at(1) < 0.5 * NoiseCorrelation.of(each[0]).at(1):
        return None
    side = [min(n, LOOK) for n in data.shape[-2:]]
    white = torch.randn(side, generator=torch.Generator().manual_seed(0))
    drawn = (_quiet(NoiseCorrelation.of(beam).coloured(white), None) for beam in each)
    seen = data.new_tensor([_scatter(*one) for one in drawn]).reshape(*beams.shape[:-2], 1, 1)
    found = data.new_tensor([_scatter(*one) for one in quiet]).reshape(*data.shape[:-2], 1, 1)
    return found / seen


def _scatter(quiet: Tensor, unit: float) -> float:
    return unit * float(quiet.square().mean().sqrt())


def estimate_sky_noise(plane: Tensor, mask: Tensor | None, psf: Tensor) -> float:
    """Sigma of ``(y, x)`` as white noise where the PSF ``(y, x)`` looks.

    ``sigma sqrt(density)`` where the noise is found to correlate, else `estimate_image_noise`.
    Raises DataError as that does.
    """
    found = found_correlation(plane, mask, psf)
    if found is None:
        return estimate_image_noise(plane, mask)
    return float(single_pixels(plane, mask, found)) * math.sqrt(found.density(psf))


def _quiet_parts(data: Tensor, mask: Tensor | None) -> list[tuple[Tensor, float]]:
    """The quiet blocks of each plane of ``(..., y, x)``, and their unit in that of the data."""
    planes = data.reshape(-1, *data.shape[-2:])
    if mask is None:
        return [_quiet(plane, None) for plane in planes]
    weights = mask.expand(data.shape).reshape(planes.shape)
    return [_quiet(plane, weight) for plane, weight in zip(planes, weights, strict=True)]


def _beside(quiet: Tensor) -> float:
    """The correlation of pixels beside each other along rows, roughly."""
    power = float(quiet.square().mean())
    return float((quiet[..., 1:] * quiet[..., :-1]).mean()) / power if power else 0.0


def _quiet(plane: Tensor, weight: Tensor | None) -> tuple[Tensor, float]:
    """Residuals ``(block, y, x)`` of the quiet blocks of a plane from a plane fitted to each.

    They are in a unit of their own, a power of two, which comes too.
    """
    whole = blocks(plane, SIDE)
    if weight is not None:
        whole = whole[(blocks(weight, SIDE) > 0).all(dim=-1).all(dim=-1)]
    if len(whole) < LEAST:
        raise DataError(
            f"{len(whole)} blocks of {SIDE} x {SIDE} good pixels, expected {LEAST} to see how the "
            "noise correlates: give noise_correlation= as a file or an array, or leave it out"
        )
    whole = whole[:: -(-len(whole) // MOST)]
    flat = whole.flatten(1)
    flat = flat - flat.mean(dim=1, keepdim=True)  # so that single precision is enough
    along = torch.linspace(-1, 1, SIDE, dtype=flat.dtype)
    y, x = torch.meshgrid(along, along, indexing="ij")
    basis = torch.stack([torch.ones_like(y), y, x]).flatten(1)
    basis = basis / basis.norm(dim=1, keepdim=True)
    left = (flat - (flat @ basis.T) @ basis).reshape(whole.shape)
    unit = power_of_two(left.abs().max())  # so that single precision holds squares
    left = left / unit
    scatter = left.square().mean(dim=(1, 2))
    quiet: Tensor = left[scatter.argsort()[: max(LEAST, round(QUIET * len(left)))]]
    return quiet, float(unit)


def _lags(quiet: Tensor) -> Tensor:
    """Mean products of pixels by their distance, ``(2 REACH + 1, 2 REACH + 1)``."""
    middle = quiet[:, REACH:-REACH, REACH:-REACH]
    inner = SIDE - 2 * REACH
    rows = [
        [(middle * quiet[:, y : y + inner, x : x + inner]).mean() for x in range(2 * REACH + 1)]
        for y in range(2 * REACH + 1)
    ]
    found = torch.stack([torch.stack(row) for row in rows])
    # The three numbers of the fitted plane took their share of every lag, that of the sum of all.
    share = 3 / SIDE**2
    return found + share * found.sum() / (1 - share * found.numel())
