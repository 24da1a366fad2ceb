"""The methods of the door: which there are, what they take, and the classical ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, cast, get_args

from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.errors import OptionError
from rimaging.method import Method, check_counts
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.noncartesian import NonCartesianMRI

MethodName = Literal["rim", "zero-filled", "cg-sense", "l1-wavelet", "tv", "grappa", "pocs"]

LAMDA = {"cg-sense": 0.01, "l1-wavelet": 0.005, "tv": 0.005, "grappa": 0.03}
"""Default penalties of the classical methods, relative to the image as each of them defines it."""

ITERATIONS = {"cg-sense": 30, "l1-wavelet": 100, "tv": 100, "pocs": 3}


def check_options(
    method: str,
    sets: int | None,
    steps: int | None,
    lamda: float | None,
    iterations: int | None,
    ensemble: bool,
    adapt: int | None = None,
) -> None:
    """Refuse options that do not go together, by `OptionError`."""
    if method not in get_args(MethodName):
        raise OptionError(
            f"method {method!r} does not exist: choose {', '.join(get_args(MethodName))}"
        )
    check_counts({"steps": steps, "iterations": iterations, "adapt": adapt})
    if sets not in (None, 1, 2):
        raise OptionError(f"sets is {sets}: use 1, or 2 for soft SENSE")
    if method == "rim" and (lamda is not None or iterations is not None):
        raise OptionError("lamda and iterations are for the classical methods: a RIM has steps")
    if method != "rim" and steps is not None:
        raise OptionError(f"steps are those of a RIM: {method} takes iterations")
    if method != "rim" and ensemble:
        raise OptionError(
            f"an ensemble turns the images of a network, {method} has none: leave it out, or take "
            "rim"
        )
    if adapt is not None and method != "rim":
        raise OptionError(f"{method} learns nothing: leave out adapt, or take rim")
    if method == "grappa" and iterations is not None:
        raise OptionError("grappa does not iterate: it takes lamda alone")
    if method == "pocs" and lamda is not None:
        raise OptionError("pocs has no penalty: it takes iterations alone")


def classical(name: MethodName, lamda: float | None, iterations: int | None, sets: bool) -> Method:
    """A method to compare with, as a `Method`."""
    from rimaging.solvers.cg_sense import cg_sense
    from rimaging.solvers.grappa import grappa
    from rimaging.solvers.l1_wavelet import l1_wavelet
    from rimaging.solvers.pocs import pocs
    from rimaging.solvers.total_variation import total_variation
    from rimaging.solvers.zero_filled import zero_filled

    if name == "zero-filled":
        return Method(name=name, solve=_solved_by(name, partial(zero_filled, sets=sets)))
    weight = LAMDA.get(name, 0.0) if lamda is None else lamda
    count = ITERATIONS.get(name, 1) if iterations is None else iterations
    settings = {
        **({"lamda": weight} if name in LAMDA else {}),
        **({"iterations": count} if name in ITERATIONS else {}),
    }
    solver: Callable[[Tensor, Tensor, Tensor], Tensor]
    if name == "grappa":
        solver = partial(grappa, damping=weight, sets=sets)
    elif name == "pocs":
        solver = partial(pocs, iterations=count, sets=sets)
    elif name == "cg-sense":
        solver = partial(cg_sense, damping=weight, iterations=count, sets=sets)
    elif name == "l1-wavelet":
        solver = partial(l1_wavelet, lamda=weight, iterations=count, sets=sets)
    else:
        solver = partial(total_variation, lamda=weight, iterations=count, sets=sets)
    solve = _solved_by(name, solver, weight, count)
    return Method(name=name, solve=solve, provenance={"settings": settings})


def _solved_by(
    name: MethodName,
    solver: Callable[[Tensor, Tensor, Tensor], Tensor],
    lamda: float = 0.0,
    iterations: int = 1,
) -> Callable[[Measurement | None, Gaussian], list[Tensor]]:
    """A function of k-space, mask and maps as one of a likelihood, or the same of a trajectory."""
    from rimaging.solvers.noncartesian import NonCartesianMethod, solve_noncartesian

    def solve(part: Measurement | None, likelihood: Gaussian) -> list[Tensor]:
        operator = likelihood.operator
        if isinstance(operator, NonCartesianMRI):
            density = None if part is None else part.density
            known = cast(NonCartesianMethod, name)  # it refuses those of masks alone
            return [
                solve_noncartesian(
                    known, likelihood, lamda=lamda, iterations=iterations, density=density
                )
            ]
        assert isinstance(operator, CartesianMRI)
        return [solver(likelihood.y, operator.mask.squeeze(-3), operator.maps)]

    return solve
