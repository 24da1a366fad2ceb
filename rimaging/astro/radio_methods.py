"""How visibilities become a sky: dirty, CLEAN, total variation, maximum entropy, a RIM as prior."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from rimaging.datasets.beam_psf import gaussian_beam
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.visibilities import VisibilityData
from rimaging.errors import OptionError
from rimaging.method import Method, Weights, rim_method
from rimaging.operators.closure import closures_of
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.visibilities import Visibilities
from rimaging.solvers.clean import clean
from rimaging.solvers.maximum_entropy import maximum_entropy
from rimaging.solvers.plug_and_play import plug_and_play
from rimaging.solvers.primal_dual_tv import primal_dual_tv
from rimaging.solvers.self_calibration import station_gains

MethodName = Literal["dirty", "clean", "mem", "tv", "rim"]

ITERATIONS = {"clean": 10_000, "mem": 200, "tv": 300, "rim": 24}

PRIOR = 1 / 3
"""FWHM of the prior of maximum entropy, a Gaussian, relative to the field."""

FAINT = 1e-4
"""What the prior leaves to the rest of the field, relative to its peak."""

LAMDA = 1.0
"""Weight of total variation in units of the noise."""

SHORTEST = 0.1
"""Share of the visibilities, the shortest, whose median amplitude is taken for the flux."""


@dataclass(frozen=True)
class Settings:
    """What the door was asked for; see `rimaging.astro.image`."""

    method: MethodName
    threshold: float
    loop_gain: float
    iterations: int | None
    entropy: float
    variation: float
    flux: float | None
    weights: Weights

    def __post_init__(self) -> None:
        if self.method not in get_args(MethodName):
            raise OptionError(
                f"method {self.method!r} does not exist: choose {', '.join(get_args(MethodName))}"
            )
        if self.iterations is not None and self.method not in ITERATIONS:
            raise OptionError(f"iterations are not those of {self.method}: leave them out")
        if self.flux is not None and not 0 < self.flux < math.inf:
            raise OptionError(f"the flux is {self.flux}: give Jy above 0")
        for name in ("threshold", "entropy", "variation"):
            if not 0 <= getattr(self, name) < math.inf:
                raise OptionError(f"{name} is {getattr(self, name)}: give a number from 0 on")
        if not 0 < self.loop_gain <= 1:
            raise OptionError(f"loop_gain is {self.loop_gain}: give one above 0, at most 1")

    @property
    def count(self) -> int:
        """Iterations, as asked or usual."""
        return ITERATIONS[self.method] if self.iterations is None else self.iterations


@dataclass(frozen=True)
class Calibration:
    """Visibilities without the gains of the stations, what to say of it, and the image that did."""

    data: VisibilityData
    said: dict[str, Any] = field(default_factory=dict)
    start: Tensor | None = None


def method_of(
    settings: Settings,
    data: VisibilityData,
    dirty: Tensor,
    beam: Tensor,
    noise: float,
    lobe: tuple[float, float, float],
    start: Tensor | None,
    device: torch.device,
) -> Method:
    """The method as the way through the house takes it: from a likelihood to the sky in Jy/pixel.

    dirty, beam, noise: of the weighted visibilities, for CLEAN. lobe: of the clean beam.
    """
    name = settings.method
    if name == "rim":
        return _plug_and_play(settings, dirty, lobe, device)

    def solve(_: Measurement | None, likelihood: Gaussian) -> list[Tensor]:
        if name == "dirty":
            return [likelihood.zeros()]
        if name == "clean":
            found = clean(
                dirty,
                beam,
                threshold=settings.threshold * noise,
                gain=settings.loop_gain,
                iterations=settings.count,
            )
            return [found.model.to(likelihood.y)]
        if name == "tv":
            return [primal_dual_tv(likelihood, lamda=LAMDA, iterations=settings.count)]
        return [_entropy(likelihood, settings, data, lobe, start)]

    said: dict[str, dict[str, Any]] = {
        "dirty": {},
        "clean": {"threshold": settings.threshold, "loop_gain": settings.loop_gain},
        "tv": {"lamda": LAMDA},
        "mem": {"entropy": settings.entropy, "variation": settings.variation},
    }
    counted = {} if name == "dirty" else {"iterations": settings.count}
    return Method(name=name, solve=solve, provenance={"settings": {**said[name], **counted}})


def calibrated_by_closure(
    operator: Visibilities,
    data: VisibilityData,
    settings: Settings,
    lobe: tuple[float, float, float],
    spread: float | None,
) -> Calibration:
    """Image the closure quantities, find the gains with that image, and take them out.

    Source: Chael et al., ApJ 857, 23 (2018).
    """
    moments = data.moments()
    assert data.stations is not None
    closures, y, sigma = closures_of(
        operator, data.values, data.sigma, data.stations, moments, spread
    )
    likelihood = Gaussian(closures, y, sigma)
    asked = settings.iterations if settings.method == "mem" else None
    mem = replace(settings, method="mem", iterations=asked)
    sky = _entropy(likelihood, mem, data, lobe, None)
    if spread is None and settings.flux is not None:
        sky = sky * settings.flux / sky.sum()
    model = operator(sky)
    gains = station_gains(data.values, model, data.sigma, data.stations, moments)
    measured = torch.complex(data.values[0], data.values[1]) / gains
    triangles = closures.triangles.shape[1]
    misfit = (likelihood.y - closures(sky)) / sigma
    said = {
        "closure_phases": triangles,
        "closure_phase_chi2": float(misfit[: 2 * triangles].square().sum() / triangles),
        "log_amplitude_chi2": float(misfit[2 * triangles :].square().mean()),
        "gain_spread": spread,
        "median_gain": float(gains.abs().median().sqrt()),
    }
    calibrated = replace(
        data,
        values=torch.stack((measured.real, measured.imag)),
        sigma=data.sigma / gains.abs(),
    )
    return Calibration(calibrated, said, sky)


def _entropy(
    likelihood: Gaussian,
    settings: Settings,
    data: VisibilityData,
    lobe: tuple[float, float, float],
    start: Tensor | None,
) -> Tensor:
    """Maximum entropy relative to a Gaussian of a third of the field, and total variation."""
    rows, columns = likelihood.operator.domain.shape
    width = PRIOR * rows
    prior = gaussian_beam(width, width, 0.0, rows)[
        rows - rows // 2 : 2 * rows - rows // 2, rows - columns // 2 : rows - columns // 2 + columns
    ].double()
    prior = prior.clamp_min(FAINT * float(prior.max()))
    flux = settings.flux
    if flux is None:
        length = torch.hypot(data.u, data.v)
        count = max(1, math.ceil(SHORTEST * len(length)))
        nearest = length.argsort()[:count]
        flux = float(data.values[:, nearest].norm(dim=0).median())
    # total variation counts in beams, so that finer pixels ask for the same sky
    return maximum_entropy(
        likelihood,
        prior * flux / prior.sum(),
        entropy=settings.entropy,
        variation=settings.variation * math.sqrt(lobe[0] * lobe[1]),
        iterations=settings.count,
        x0=start,
    )


def _plug_and_play(
    settings: Settings, dirty: Tensor, lobe: tuple[float, float, float], device: torch.device
) -> Method:
    """A RIM takes the noise away, the visibilities say what stays."""
    prior = rim_method(settings.weights, None, device)
    # the span of the sky in Jy/pixel, about: the peak per beam over the area of a beam
    span = float(dirty.max() - dirty.min()) / (math.pi * lobe[0] * lobe[1] / (4 * math.log(2)))

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        return prior.solve(None, Gaussian(Identity(x.shape[-2:], x.dtype), x, sigma))[-1]

    def solve(_: Measurement | None, likelihood: Gaussian) -> list[Tensor]:
        operator = likelihood.operator
        assert isinstance(operator, LinearOperator)
        # with columns of norm 1, so that the noise of the data is also that of a pixel
        unit = operator.range.size**-0.5
        sigma = unit * likelihood.precision.rsqrt()
        return plug_and_play(
            Gaussian(unit * operator, unit * likelihood.y, sigma),
            denoise,
            span=span,
            steps=settings.count,
        )

    return replace(prior, name="plug-and-play", solve=solve)
