"""Deep visualisation: pictures from the features of SqueezeNet, beside gradient descent."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from rimaging.benchmark.photographs import colour_set
from rimaging.benchmark.table import Table, number, publish
from rimaging.datasets.simulate.features import centred, squeezenet_weights
from rimaging.image.methods import denoiser, trained_for
from rimaging.method import load_rim, rim_method
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.squeezenet import MEAN, SqueezeNet
from rimaging.reports.figures import strip
from rimaging.rim.newton import newton_direction
from rimaging.solvers.differences import differences, differences_adjoint

LAYERS = ("conv1", "fire3", "fire5", "fire7", "fire9")
SIDE = 224
STEPS = 20
DESCENT = 500
SIGMA = 0.5 / 255
"""Noise that the features are taken to have: what a method may leave unexplained."""

RATES = (0.1, 0.3, 1.0, 3.0)
"""Learning rates of gradient descent, tried on the first picture of each layer."""

Solver = Callable[[Gaussian], Tensor]


def main(data: Path, weights: str, limit: int | None = None, out: Path | None = None) -> None:
    """Print the feature error of each layer over 4 pictures (or ``limit``); write to ``out``.

    Raises FormatError where data are absent, WeightsError for weights that cannot be loaded.
    """
    pictures = [square(p) for p in colour_set(data, 4 if limit is None else limit)]
    tensors = squeezenet_weights(data)
    name, how, recurrent = ours(weights)
    errors: dict[str, list[str]] = {"gradient descent, 500 steps": [], name: []}
    seconds = dict.fromkeys(errors, 0.0)
    shown: dict[str, Tensor] = {}
    for layer in LAYERS:
        operator = SqueezeNet(tensors, layer, (SIDE, SIDE))
        with torch.no_grad():
            cases = [Gaussian(operator, operator(centred(p)), SIGMA) for p in pictures]
        rates = sorted(RATES, key=partial(short_descent, cases[0]))

        def by_descent(case: Gaussian, rates: list[float] = rates) -> Tensor:
            # a rate that was good for a while may still diverge: the next best then
            found = (descend(case, rate, DESCENT) for rate in rates)
            return next(x for x in found if bool(torch.isfinite(x).all()))

        for method, solve in zip(errors, (by_descent, recurrent), strict=True):
            started = time.perf_counter()
            found = [solve(case) for case in cases]
            seconds[method] += (time.perf_counter() - started) / (len(cases) * len(LAYERS))
            mean = sum(map(feature_error, cases, found)) / len(cases)
            errors[method].append(number(mean, 4))
            shown[f"{layer}, {'descent' if solve is by_descent else 'RIM'}"] = visible(found[0])
    protocol = [
        f"SqueezeNet 1.1, ImageNet; {len(pictures)} pictures of CBSD68, the middle {SIDE} x {SIDE} "
        "(enlarged where smaller); no noise.",
        "Feature error |phi(x) - y|^2 / |y|^2 at the layer that is inverted, mean over pictures.",
        f"Gradient descent (Mahendran & Vedaldi 2014): {DESCENT} steps, momentum 0.9, alpha-norm 6 "
        "and TV^2; its learning rate is chosen for each layer on the first picture.",
        how,
    ]
    rows = [[method, *cells, number(seconds[method], 1)] for method, cells in errors.items()]
    table = Table("Deep visualisation", protocol, ["method", *LAYERS, "seconds"], rows)
    print(table.text(), flush=True)
    if out is not None:
        films = {
            layer: strip(
                {k.partition(", ")[2]: x for k, x in shown.items() if k.startswith(f"{layer},")},
                "image",
                pictures[0],
            )
            for layer in LAYERS
        }
        publish("features", [table], films, out)


def ours(weights: str) -> tuple[str, str, Solver]:
    """The RIM where its weights know the network, else Newton steps and a denoiser in turns.

    Its name, how it goes, and the method.
    """
    place = torch.device("cpu")
    if trained_for(weights, _any_network()):
        method = rim_method(weights, STEPS, place)
        config = load_rim(weights, place)[0].config
        how = (
            f"RIM: {STEPS} steps; each sees one gradient of the features and takes "
            f"{config.consistency_iterations} to come back to them, the last one "
            f"{config.settle_iterations} more (a jvp tells the length of each)."
        )
        return f"RIM (ours), {STEPS} steps", how, lambda case: method.solve(None, case)[-1]
    clean = denoiser(rim_method(weights, None, place))
    title = f"Newton steps and RIM {Path(weights).stem!r} in turns, {STEPS}"
    how = f"In turns: {STEPS} Newton steps of 8 solves each, the denoiser after every one."
    return title, how, lambda case: in_turns(case, clean)


def in_turns(case: Gaussian, clean: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Plug-and-play without a linear operator: a damped Gauss-Newton step, then less denoising."""
    x = case.zeros()
    with torch.inference_mode():
        for step in range(STEPS):
            share = step / (STEPS - 1)
            damping = 1e-1 * 1e-3**share
            x = x + newton_direction(case, x, case.score(x), 8, damping)
            level = torch.full((1, 1, 1), 0.1 * 0.02**share)
            if step < STEPS - 1:
                x = clean(x, level)
    return x.clone()


def descend(case: Gaussian, rate: float, steps: int) -> Tensor:
    """Mahendran & Vedaldi: feature loss, alpha-norm and TV^2, gradient descent with momentum.

    Steps are scaled by the first gradient, and the rate falls tenfold twice, as theirs does by
    hand. Source: arXiv:1412.0035, section 3, with its weights relative to the feature loss.
    """
    generator = torch.Generator().manual_seed(0)
    x = 0.01 * torch.randn(case.zeros().shape, generator=generator)
    velocity = torch.zeros_like(x)
    power = case.y.square().sum()
    variance = float(case.noise_scale.flatten()[0]) ** 2
    pixels = x.numel()
    first: Tensor | None = None
    for step in range(steps):
        loss = -2 * variance * case.score(x) / power
        bound = 0.5  # pixels beyond half of white are what the alpha-norm holds back
        alpha = 6 / pixels * (x / bound).pow(5) / bound
        smooth = 2e-3 / pixels * 2 * differences_adjoint(differences(x)) / 0.1**2
        gradient = loss + alpha + smooth
        if first is None:
            first = gradient.square().mean().sqrt()
        decay = 0.1 ** (3 * step // steps)
        velocity = 0.9 * velocity - 0.02 * rate * decay * gradient / first
        x = x + velocity
    return x


def short_descent(case: Gaussian, rate: float) -> float:
    """The feature error after a fifth of the steps; infinite where it diverged."""
    error = feature_error(case, descend(case, rate, DESCENT // 5))
    return error if math.isfinite(error) else math.inf


def feature_error(case: Gaussian, x: Tensor) -> float:
    """``|phi(x) - y|^2 / |y|^2``."""
    with torch.no_grad():
        return float((case.operator(x) - case.y).square().sum() / case.y.square().sum())


def square(picture: Tensor) -> Tensor:
    """The middle square ``(3, SIDE, SIDE)`` of a picture."""
    side = min(picture.shape[-2:])
    top, left = ((n - side) // 2 for n in picture.shape[-2:])
    middle = picture[None, :, top : top + side, left : left + side].float()
    return F.interpolate(middle, (SIDE, SIDE), mode="bilinear", antialias=True)[0]


def visible(x: Tensor) -> Tensor:
    """Back to RGB in 0..1."""
    mean = torch.tensor(MEAN, dtype=x.dtype)[:, None, None] / 255
    return (x + mean).clamp(0, 1)


def _any_network() -> SqueezeNet:
    """A network without its weights, to ask what others were trained for."""
    zeros = {"conv1.weight": torch.ones(64, 3, 3, 3), "conv1.bias": torch.zeros(64)}
    return SqueezeNet(zeros, "conv1", (15, 15))
