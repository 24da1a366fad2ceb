"""The one way of all pictures: an operator and its data in, by the method that suits, an image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.errors import DataError, OptionError
from rimaging.image.channels import by_channels
from rimaging.image.filled import filled, with_wide_holes
from rimaging.method import Method, Weights, check_counts, choose_device, load_rim, rim_method
from rimaging.operators.clipped import Clipped
from rimaging.operators.convolution import Boundary, Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.operators.likelihood import Likelihood
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.operator import Operator
from rimaging.operators.projection import RandomProjection
from rimaging.operators.resampling import Bicubic
from rimaging.operators.sampling import Sampling
from rimaging.operators.squeezenet import SqueezeNet
from rimaging.reconstruct import run
from rimaging.reconstruction import Reconstruction
from rimaging.rim.ensemble import ELEMENTS, turn, turn_back
from rimaging.rim.rim import RIM
from rimaging.rim.weights import load_weights
from rimaging.uncertainty import ErrorMap

MethodName = Literal["rim", "plug-and-play", "map", "tv", "wiener", "richardson-lucy"]

KINDS: dict[str, type[Operator]] = {
    "identity": Identity,
    "convolution": Convolution,
    "bicubic": Bicubic,
    "sampling": Sampling,
    "projection": RandomProjection,
    "squeezenet": SqueezeNet,
}
"""Names of operators in the cards of weights."""

ANY, BLUR, HOLES, SMALL, DENOISER, COLOUR = (
    "image-any",
    "deblur",
    "inpainting",
    "super-resolution",
    "image",
    "denoise-colour",
)
"""Weights for several operators, for blur, for missing pixels, for small clean images, the best
denoiser, and that of three channels together: what is used where none are given."""

BEGUN, BEGUN_AT = 6, 25 / 255
"""Turns of plug-and-play that begins with a good estimate, and the level of their first."""

END_SHARE = 0.2
"""Of the last turn in the answer; the rest is of where it began. The better the weights for blur
became, the less of it: on validation crops 0.35 is 0.002 dB worse, with an ensemble 0.03."""

LAMDA, OF_HOLES, OF_NOISE = 0.1, 0.5, 0.8
"""Weight of the hand-made priors in units of the noise, where nobody gives one: where an operator
loses much, where it leaves pixels out, where it loses nothing.

Best on three validation images, TV and Huber prior: after a box of 7 x 7 0.06 to 0.2 at sigma = 1
to 8 of 255; half of the pixels missing 0.5 and 0.5 at 10; noise alone 0.5 and 0.5 at 5, 0.7 and 1
at 15 and 25."""

STEPS = {"map": 150, "tv": 300, "richardson-lucy": 30}


@dataclass(frozen=True)
class How:
    """What all doors share: the method, its weights and its settings; see `rimaging.image`."""

    weights: Weights | None = None
    method: MethodName | None = None
    steps: int | None = None
    lamda: float | None = None
    ensemble: bool = False
    device: str | torch.device | None = None
    keep_steps: bool = False
    error_map: ErrorMap | None = None

    def direct(self, task: Task) -> Weights:
        """The weights to infer with."""
        return task.weights if self.weights is None else self.weights

    @property
    def denoiser(self) -> Weights:
        """The weights to denoise with, in plug-and-play."""
        return DENOISER if self.weights is None else self.weights


@dataclass(frozen=True)
class Task:
    """What a door knows of its operator beside it.

    weights: to infer with, where the user gives none. turns: of plug-and-play that begins with the
    smoothest image, more where the operator loses more. last: noise level of its last turn
    in units of the span, for nearly noise-free data. kernel, boundary: of a blur, for the methods
    that know no other operator. enlarged: pixels of the image per pixel of the data. clip: black
    and white of the data, where their noise was cut off. lamda: weight of the hand-made priors in
    units of the noise, where nobody gives one.
    """

    weights: str = ANY
    turns: int = 8
    last: float = 0.0
    kernel: Tensor | None = None
    boundary: Boundary = "reflect"
    enlarged: int = 1
    clip: tuple[float, float] | None = None
    lamda: float = LAMDA


def invert(
    source: Measurement | Likelihood,
    how: How,
    task: Task,
    build: Callable[[Measurement], LinearOperator] | None = None,
) -> Reconstruction:
    """Invert a measurement, with the operator that ``build`` makes of it, or a likelihood.

    Raises OptionError for a method that does not exist or does not fit, and what `run` raises.
    """
    device = choose_device(how.device)

    def likelihood(piece: Measurement) -> Gaussian:
        assert piece.noise is not None and build is not None
        if task.clip is not None:
            return Clipped(build(piece), piece.data, piece.noise, *task.clip, weight=piece.mask)
        return Gaussian(build(piece), piece.data, piece.noise, weight=piece.mask)

    if isinstance(source, Likelihood):
        operator: Operator = source.operator
    else:
        assert build is not None
        source = source.completed()
        operator = build(source)
    name = how.method or ("rim" if trained_for(how.direct(task), operator) else "plug-and-play")
    method = chosen(name, how, task, device)
    method = replace(method, bytes_per_pixel=task.enlarged * method.bytes_per_pixel)
    if isinstance(source, Measurement) and source.mask is not None and name == "rim":
        holes = Sampling(torch.ones(source.data.shape[-2:]))
        if isinstance(operator, Identity) and not trained_for(how.direct(task), holes):
            method = filled(method, source, likelihood)
    if isinstance(operator, Sampling) and name == "rim" and not isinstance(how.weights, RIM):
        method = with_wide_holes(method)
    together = 1
    if isinstance(source, Measurement) and name == "rim":
        channels = load_rim(how.direct(task), device)[0].config.channels
        own = task.kernel is not None and task.kernel.ndim > 2  # a kernel goes with each plane
        together = math.prod(source.data.shape[:-2]) if own and channels > 1 else channels
        if channels > 1 and not own:
            method = by_channels(method, likelihood, channels)
    make = likelihood if build is not None else None
    return run(
        source,
        method,
        build=make,
        any_unit=task.clip is None,
        together=together,
        device=device,
        keep_steps=how.keep_steps,
        error_map=how.error_map,
    )


def chosen(name: str, how: How, task: Task, device: torch.device) -> Method:
    """A method by its name."""
    if name not in get_args(MethodName):
        raise OptionError(
            f"method {name!r} does not exist: choose {', '.join(get_args(MethodName))}"
        )
    check_counts({"steps": how.steps})
    if how.ensemble and name not in ("rim", "plug-and-play"):
        raise OptionError(
            f"an ensemble turns the images of a network, {name} has none: leave it out, or take "
            "rim or plug-and-play"
        )
    if how.lamda is not None and name in ("rim", "plug-and-play", "richardson-lucy"):
        raise OptionError(f"lamda weighs a hand-made prior: {name} has none")
    if name == "rim":
        return rim_method(how.direct(task), how.steps, device, how.ensemble)
    if name == "plug-and-play":
        return by_denoiser(how, task, device)
    return classical(name, how, task)


def by_denoiser(how: How, task: Task, device: torch.device) -> Method:
    """Plug-and-play with the RIM as a denoiser.

    Without weights of the user's own it begins where those for the task end, needs few turns, and
    answers by a mean of its begin and its end, which err each in its own way. Each turn denoises
    the image turned otherwise, so that what a network does to one direction alone does not add up
    (as DPIR does); an ensemble is then one of the begin alone.
    """
    from rimaging.solvers.cg import cg
    from rimaging.solvers.plug_and_play import plug_and_play

    prior = rim_method(how.denoiser, None, device, how.ensemble and how.weights is not None)
    begin = None
    if how.weights is None:
        begin = rim_method(task.weights, None, device, how.ensemble)
    turns = task.turns if begin is None else BEGUN
    count = turns if how.steps is None else how.steps
    clean = denoiser(prior)

    def solve(piece: Measurement | None, likelihood: Gaussian) -> list[Tensor]:
        operator = likelihood.operator
        if operator.domain.is_complex or not isinstance(operator, LinearOperator):
            raise DataError(
                "plug-and-play restores real images: this operator is complex or not linear"
            )
        seen = piece.data if piece is not None else None
        if seen is None:
            seen = cg(operator, operator.adjoint(likelihood.y), iterations=10).x
        span = seen.amax(dim=(-2, -1), keepdim=True) - seen.amin(dim=(-2, -1), keepdim=True)
        span = torch.where(span > 0, span, likelihood.noise_scale)  # a blank page of a stack
        elements = cycle(range(ELEMENTS))

        def turned(x: Tensor, sigma: Tensor) -> Tensor:
            element = next(elements)
            return turn_back(clean(turn(x, element), sigma), element)

        last = task.last * span
        if begin is None:
            return plug_and_play(likelihood, turned, span=span, last=last, steps=count)
        start = begin.solve(piece, likelihood)[-1]
        estimates = plug_and_play(
            likelihood, turned, span=span, last=last, steps=count, start=start, first=BEGUN_AT
        )
        return [*estimates, torch.lerp(start, estimates[-1], END_SHARE)]

    begun = {} if begin is None else {"start": begin.provenance["weights"]}
    return Method(
        name="plug-and-play",
        solve=solve,
        bytes_per_pixel=max(prior.bytes_per_pixel, begin.bytes_per_pixel if begin else 0) + 32,
        provenance={
            **prior.provenance,
            **begun,
            "steps": count,
            "denoiser_steps": prior.provenance["steps"],
        },
    )


def denoiser(prior: Method) -> Callable[[Tensor, Tensor], Tensor]:
    """A RIM as a function that takes noise of a given level from images ``(..., y, x)``."""

    def clean(x: Tensor, sigma: Tensor) -> Tensor:
        identity = Identity(x.shape[-2:], x.dtype)
        return prior.solve(None, Gaussian(identity, x, sigma))[-1]

    return clean


def classical(name: str, how: How, task: Task) -> Method:
    """A method without a network, to compare with."""
    from rimaging.solvers.iterative_map import iterative_map
    from rimaging.solvers.primal_dual_tv import primal_dual_tv
    from rimaging.solvers.richardson_lucy import richardson_lucy
    from rimaging.solvers.wiener import wiener

    weight = task.lamda if how.lamda is None and name in ("map", "tv") else how.lamda
    count = STEPS.get(name) if how.steps is None else how.steps
    settings: dict[str, Any] = {"lamda": weight, "steps": count}

    def solve(_: Measurement | None, likelihood: Gaussian) -> list[Tensor]:
        if name == "map":
            assert weight is not None and count is not None
            return iterative_map(likelihood, lamda=weight, steps=count)
        if name == "tv":
            assert weight is not None and count is not None
            return [primal_dual_tv(likelihood, lamda=weight, iterations=count)]
        if task.kernel is None:
            raise OptionError(f"{name} undoes a blur: use map or tv for other operators")
        assert isinstance(likelihood.operator, Convolution)
        y, kernel = likelihood.y, likelihood.operator.psf  # of this piece of the image
        if name == "richardson-lucy":
            assert count is not None
            return [richardson_lucy(y, kernel, iterations=count, boundary=task.boundary)]
        if task.boundary not in ("reflect", "circular"):
            raise OptionError("wiener knows the boundaries reflect and circular: choose one")
        ratio: float | Tensor | None = weight
        if ratio is None:
            power = y.var(dim=(-2, -1)).clamp_min(torch.finfo(y.dtype).tiny)
            ratio = likelihood.noise_scale[..., 0, 0] ** 2 / power
        return [wiener(y, kernel, ratio, boundary=task.boundary)]

    return Method(name=name, solve=solve, provenance={"settings": settings})


def trained_for(weights: Weights, operator: Operator) -> bool:
    """Whether the card names the operator, or several: then any linear one of real images.

    A `RIM` in memory has no card: whoever gives one has an answer by it in mind.
    """
    if isinstance(weights, RIM):
        return True
    card = load_weights(weights)[1]
    known = card.get("operators") or [card.get("operator", {}).get("operator", "identity")]
    if len(known) > 1 and isinstance(operator, LinearOperator) and not operator.domain.is_complex:
        return True
    return any(isinstance(operator, KINDS.get(name, ())) for name in known)
