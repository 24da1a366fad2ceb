"""The error map: the same inference on measurements that are redrawn from the estimate.

The parametric bootstrap. Around an estimate ``x`` of ``y``, by any method and settings,

    y_b = A x + n_b,  n_b of the noise that the likelihood states;   x_b the estimate of y_b;
    error^2 = mean_b |x_b - x|^2

for each pixel: the variance of the method and its bias, in one. Of a complex image it is half of
that, the standard deviation of one real component, as everywhere in the house.

What it does not say: ``x`` stands for the truth, so a structure that the method took away is
missing from every repetition too, and its loss is not in the map; nor is what a wrong operator,
noise level, PSF or coil map does, or the estimation of them: they are kept. Measured on known
light by gate 8 of `rimaging.validate`.

Sources: Efron (1979), Annals of Statistics 7, 1; Efron & Tibshirani (1993), An Introduction to the
Bootstrap, 6.5. Robson et al. (2008), Magn. Reson. Med. 60, 895, do the same around ``y`` instead
(pseudo multiple replicas), which tells the variance alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from rimaging.errors import OptionError
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.likelihood import Likelihood
from rimaging.operators.poisson import Poisson

WINDOW = 5
"""Side in pixels of the neighbourhood over which few repetitions are averaged."""


@dataclass(frozen=True)
class Bootstrap:
    """How to make an error map: of so many redrawn measurements, from a seed.

    The error of the error is about ``1 / sqrt(2 replicates)`` in a single pixel, less where the
    map is smooth. Each replicate costs as much as the estimate. Raises OptionError below 2.
    """

    replicates: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.replicates < 2:
            raise OptionError(
                f"an error map of {self.replicates} repetitions: give 2 or more, 8 for example"
            )
        if self.seed < 0:
            raise OptionError(f"the seed of the error map is {self.seed}: give 0 or more")

    def generators(self, items: int, first: int = 0) -> list[torch.Generator]:
        """One stream of random numbers for each item of a batch, whatever is computed with it."""
        seeds = [np.random.SeedSequence([self.seed, first + item]) for item in range(items)]
        return [torch.Generator().manual_seed(int(s.generate_state(1)[0])) for s in seeds]


Learned = Literal["learned"]
"""The error that the weights themselves tell (`rimaging.rim.error_head`): no repetition at all."""

Auto = Literal["auto"]
"""What the weights tell, where they do, and none where they do not."""

ErrorMap = int | Bootstrap | Learned
"""What a door is asked for: so many repetitions, with their seed, or what the weights tell."""

Finish = Callable[[Tensor, Likelihood], Tensor]
"""From an estimate and the likelihood that it explains to the image that is wanted."""


def plainly(x: Tensor, _: Likelihood) -> Tensor:
    """The estimate itself."""
    return x


LearnedError = Callable[[Tensor, Callable[[bool], Tensor]], Tensor]
"""From an estimate, and what tells its error without (False) or with (True) its residual put back,
to the error of the final image."""


def of_estimate(_: Tensor, tell: Callable[[bool], Tensor]) -> Tensor:
    """The error of the estimate itself."""
    return tell(False)


def as_error_map(asked: ErrorMap | None) -> Bootstrap | Learned | None:
    """What a door was given: repetitions, what weights tell, or none; OptionError for others."""
    if isinstance(asked, Integral):
        return Bootstrap(int(asked))
    if asked is None or asked == "learned" or isinstance(asked, Bootstrap):
        return asked
    raise OptionError(
        f"there is no error map {asked!r}: give a whole number of repetitions, or 'learned'"
    )


def error_map_of(
    likelihood: Likelihood,
    x: Tensor,
    estimate: Callable[[Likelihood], Tensor],
    how: Bootstrap,
    *,
    finish: Finish = plainly,
    first: int = 0,
) -> Tensor:
    """The error of an estimate, ``sqrt(mean_b |x_b - x|^2)``, smoothed by `smoothed`.

    Args:
        likelihood: of the measurement, Gaussian or Poisson.
        x: its estimate ``(*batch, *domain.shape)``.
        estimate: the method: from a likelihood to its estimate.
        finish: the image of an estimate (a crop, coils combined, its residual put back), of which
            the error is wanted.
        first: number of the first item, where the batch is a part of a larger one.

    Returns:
        Real, of the shape and in the units of the finished image: standard deviation of one real
        component.

    Raises OptionError for other likelihoods.
    """
    generators = how.generators(likelihood.items, first)
    centre = finish(x, likelihood.observing(likelihood.expected(x).expand(likelihood.y.shape)))
    power = torch.zeros(centre.shape, dtype=torch.float64, device=centre.device)
    for _ in range(how.replicates):
        observed = likelihood.observing(redrawn(likelihood, x, generators))
        power += (finish(estimate(observed), observed) - centre).abs().double().square()
    draws = how.replicates * (2 if centre.is_complex() else 1)
    error = smoothed(power / draws, 2 / draws).sqrt()
    return error.to(centre.real.dtype if centre.is_complex() else centre.dtype)


def redrawn(likelihood: Likelihood, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """A measurement of ``x`` with the noise of the likelihood; what had no weight stays as it was.

    One generator for each item of the batch, on the CPU. Raises OptionError for a likelihood that
    is neither Gaussian nor Poisson.
    """
    y, axes = likelihood.y, len(likelihood.operator.range.shape)
    seen = likelihood.expected(x).expand(y.shape)
    if isinstance(likelihood, Poisson):
        counts = _by_item(seen, axes, generators, lambda item, g: torch.poisson(item, generator=g))
        return torch.where(likelihood.weight > 0, counts, y)
    if not isinstance(likelihood, Gaussian):
        raise OptionError(
            f"{type(likelihood).__name__} states no noise: use Gaussian or Poisson likelihoods"
        )
    noise = likelihood.noise(_by_item(y, axes, generators, _standard))
    return torch.where(likelihood.measured, seen + noise, y)


def as_data(likelihood: Likelihood) -> Tensor:
    """The measurement as data of a `Measurement`: of Poisson counts without their background."""
    if isinstance(likelihood, Poisson):
        return likelihood.y - likelihood.background
    return likelihood.y


def smoothed(power: Tensor, relative: float, window: int = WINDOW) -> Tensor:
    """Mean squares ``(..., y, x)`` of few draws, averaged over a box where the map is smooth.

        v -> m + k (v - m),   k = max(0, s - r m^2) / ((1 + r) s)

    with the mean ``m`` and variance ``s`` of the box, and ``r`` the relative variance of the draws
    (``2 / n`` for n normal ones). Where the box varies no more than the draws themselves it becomes
    the mean; at the core of a star, or an edge, the pixel keeps its own. Local, so that a tile
    equals the whole; equivariant to scale.

    Source: Lee (1980), IEEE Trans. Pattern Anal. Mach. Intell. 2, 165 (multiplicative noise).
    """
    if power.ndim < 2:
        return power
    flat = power.reshape(-1, 1, *power.shape[-2:]).double()  # the squares of small squares

    def box(values: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(
            values, window, stride=1, padding=window // 2, count_include_pad=False
        )

    mean = box(flat)
    spread = (box(flat.square()) - mean.square()).clamp_min(torch.finfo(flat.dtype).tiny)
    keep = (spread - relative * mean.square()).clamp_min(0) / ((1 + relative) * spread)
    return (mean + keep * (flat - mean)).reshape(power.shape).to(power.dtype)


def _standard(item: Tensor, generator: torch.Generator) -> Tensor:
    """Unit variance in each real component."""
    if not item.is_complex():
        return torch.randn(item.shape, generator=generator, dtype=item.dtype)
    parts = torch.randn((*item.shape, 2), generator=generator, dtype=item.real.dtype)
    return torch.view_as_complex(parts)


def _by_item(
    like: Tensor,
    axes: int,
    generators: Sequence[torch.Generator],
    draw: Callable[[Tensor, torch.Generator], Tensor],
) -> Tensor:
    """Draw each item by its own generator, on the CPU: the same on every device, in every piece."""
    items = like.reshape(-1, *like.shape[like.ndim - axes :]).cpu()
    drawn = [draw(item, generator) for item, generator in zip(items, generators, strict=True)]
    return torch.stack(drawn).reshape(like.shape).to(like.device)
