"""What was measured in a block, and the level and noise of its planes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rimaging.datasets.background import sky_level
from rimaging.datasets.detector import Detector
from rimaging.datasets.noise_correlation import estimate_sky_noise
from rimaging.datasets.own_unit import power_of_two
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.likelihood import Likelihood
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.poisson import Poisson


@dataclass(frozen=True)
class Seen:
    """What was measured, ``(..., channel, y, x)``.

    data: 0 where nothing was measured. weight: 0 there, else 1; None where all is good. noise: map
    of sigma, 1 where nothing was measured, or None. level: map of the background, or None.
    """

    data: Tensor
    weight: Tensor | None = None
    noise: Tensor | None = None
    level: Tensor | None = None

    @property
    def good(self) -> Tensor:
        """The weight, everywhere."""
        return torch.ones_like(self.data) if self.weight is None else self.weight


def joined(parts: Sequence[Seen], join: Callable[[list[Tensor]], Tensor]) -> Seen:
    """Equal parts of one sky as one, by a function of their tensors."""

    def maps(found: list[Tensor | None], shape: torch.Size) -> Tensor | None:
        whole = [part.expand(shape) for part in found if part is not None]
        return join(whole) if whole else None

    shape = parts[0].data.shape
    masked = any(part.weight is not None for part in parts)
    return Seen(
        join([part.data for part in parts]),
        join([part.good for part in parts]) if masked else None,
        maps([part.noise for part in parts], shape),
        maps([part.level for part in parts], shape),
    )


def without(seen: Seen, blank: Tensor) -> Seen:
    """What was measured but for the ``blank`` pixels, boolean, whose data are 0."""
    return replace(seen, weight=seen.good * ~blank) if bool(blank.any()) else seen


@dataclass(frozen=True)
class Channels:
    """What is the same all over a channel, ``(channel, 1, 1)`` each.

    level: of the empty sky (0 where a map says it). factor: of sigma against its map, or sigma
    itself. scale: one typical sigma.
    """

    level: Tensor
    factor: Tensor
    scale: Tensor


def channels_of(
    seen: Seen,
    level: Tensor | None,
    factor: Tensor | None,
    *,
    relative: bool,
    detector: Detector | None,
    psf: Tensor,
) -> Channels:
    """Level, factor and scale of planes ``(channel, y, x)``; what is given is taken as it is.

    Of a plane without any measured pixel the noise is 1: nothing comes of it. Noise that is found
    to correlate, in each plane by itself, counts with its density where the ``psf (y, x)`` looks.

    Raises DataError for planes whose noise is to be estimated and cannot be.
    """
    one = seen.data.new_ones(len(seen.data), 1, 1)
    if level is None:
        level = 0 * one if seen.level is not None else sky_level(seen.data, seen.weight)
    if detector is not None:
        sky = level if seen.level is None else seen.level
        variance = detector.gain * sky + detector.read_noise**2
        mean = (variance * seen.good).sum(dim=(-2, -1), keepdim=True) / _count(seen)
        return Channels(level, one, mean.clamp_min(torch.finfo(mean.dtype).tiny).sqrt())
    if factor is None:
        factor = one
        if seen.noise is None or relative:
            factor = _estimated(above(seen, level), seen, psf).to(one)
    scale = factor if seen.noise is None else factor * _typical(seen.noise, seen)
    return Channels(level, factor, scale)


def above(seen: Seen, level: Tensor) -> Tensor:
    """The data above the sky, 0 where nothing was measured."""
    sky = level if seen.level is None else level + seen.level
    return seen.data - sky if seen.weight is None else seen.weight * (seen.data - sky)


def in_own_unit(seen: Seen, channels: Channels) -> tuple[Seen, Channels, Tensor | None]:
    """Both with noise near one, and what that is of their unit, ``(channel, 1, 1)``.

    A power of two (`rimaging.datasets.own_unit`); None where they are ordinary and stay.
    """
    unit = power_of_two(channels.scale)
    if bool((unit == 1).all()):
        return seen, channels, None
    by = 1 / unit
    sigma = channels.factor if seen.noise is not None else channels.factor * by
    noise = None if seen.noise is None else seen.noise * by
    level = None if seen.level is None else seen.level * by
    near = Channels(channels.level * by, sigma, channels.scale * by)
    return Seen(seen.data * by, seen.weight, noise, level), near, unit


def likelihood_of(
    operator: LinearOperator, seen: Seen, channels: Channels, detector: Detector | None
) -> Likelihood:
    """The likelihood of data above the sky; in electrons where a ``detector`` counts them."""
    data = above(seen, channels.level)
    if detector is None:
        noise = channels.factor if seen.noise is None else channels.factor * seen.noise
        return Gaussian(operator, data, noise, weight=seen.weight)
    sky = channels.level if seen.level is None else channels.level + seen.level
    variance = detector.gain * sky + detector.read_noise**2
    if seen.weight is not None:  # where nothing was measured, neither was the sky
        variance = torch.where(seen.weight > 0, variance, channels.scale**2)
    counts = (detector.gain * data + variance).clamp_min(0)
    return Poisson(operator, counts, variance, weight=seen.weight)


def _count(seen: Seen) -> Tensor:
    return seen.good.sum(dim=(-2, -1), keepdim=True).clamp_min(1)


def _typical(noise: Tensor, seen: Seen) -> Tensor:
    """Root of the harmonic mean variance of what was measured."""
    unit = power_of_two(noise.amin(dim=(-2, -1), keepdim=True))
    total = (seen.good / (noise / unit).square()).sum(dim=(-2, -1), keepdim=True)
    typical = unit * (_count(seen) / total).sqrt()
    return torch.where(total > 0, typical, 1.0)


def _estimated(data: Tensor, seen: Seen, psf: Tensor) -> Tensor:
    """The noise of each plane, of a relative map in its units, ``(channel, 1, 1)``."""
    values = data if seen.noise is None else data / seen.noise
    sigma = []
    for plane, good in zip(values, seen.good, strict=True):
        masked = None if seen.weight is None else good
        sigma.append(estimate_sky_noise(plane, masked, psf) if bool(good.any()) else 1.0)
    return torch.tensor(sigma)[:, None, None]
