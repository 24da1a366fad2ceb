"""The one way through the house: a measurement in, a `Reconstruction` out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from rimaging import __version__
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.own_unit import OwnUnit, in_own_unit
from rimaging.datasets.pieces import at_once, moved, pieces
from rimaging.errors import DataError, OptionError
from rimaging.method import Method, Weights, choose_device, rim_method
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.likelihood import Likelihood
from rimaging.operators.poisson import Poisson
from rimaging.reconstruction import Reconstruction, planar
from rimaging.reports.diagnostics import diagnose
from rimaging.uncertainty import (
    Bootstrap,
    ErrorMap,
    Finish,
    Learned,
    LearnedError,
    as_data,
    as_error_map,
    error_map_of,
    of_estimate,
    plainly,
)


def reconstruct(
    measurement: Measurement | Likelihood,
    weights: Weights,
    steps: int | None = None,
    device: str | torch.device | None = None,
    *,
    sets: bool = False,
    keep_steps: bool = False,
    error_map: ErrorMap | None = None,
) -> Reconstruction:
    """Reconstruct any measurement, or any likelihood, with the weights of a RIM.

    Args:
        measurement: with its noise (else it is estimated); or a likelihood of one's own operator.
        weights: a shipped name, a path, or a `RIM`.
        steps: of inference; by default as in training.
        device: by default the GPU if there is one.
        sets: the maps of k-space have an axis of sets.
        keep_steps: keep the estimate after each step.
        error_map: estimate ``uncertainty``: ``"learned"`` as the weights tell it, for those that
            learned to; or by so many repetitions on redrawn data, 8 for example
            (`rimaging.uncertainty`), each as long as the reconstruction; by default not at all.

    Raises:
        WeightsError: unknown weights. ShapeError, DataError: data that cannot be reconstructed.
        OptionError: a device that is not there.
    """
    place = choose_device(device)
    method = rim_method(weights, steps, place)
    return run(
        measurement, method, sets=sets, device=place, keep_steps=keep_steps, error_map=error_map
    )


def run(
    source: Measurement | Likelihood,
    method: Method,
    *,
    build: Callable[[Measurement], Likelihood] | None = None,
    any_unit: bool = False,
    together: int = 1,
    sets: bool = False,
    finish: Finish = plainly,
    device: torch.device,
    keep_steps: bool = False,
    error_map: ErrorMap | None = None,
    learned_error: LearnedError = of_estimate,
    first: int = 0,
) -> Reconstruction:
    """Take a measurement through a method, in pieces that fit the memory.

    ``build`` makes the likelihood of a piece (by default its own), once for each and in order,
    ``finish`` the final image of an estimate and the likelihood that it explains, ``learned_error``
    the error of that image by what `Method.error` tells of the estimate; ``sets`` and ``error_map``
    as in `reconstruct`.
    ``any_unit`` says that data and noise in another unit make a likelihood of the image in that
    unit, as is so without ``build``: small and large numbers, coil maps among them, are then
    computed near one (`rimaging.datasets.own_unit`). Counts of photons, and pictures clipped at
    white, have units of their own.
    ``together`` items in a row are not cut apart: channels that weights couple.
    ``first`` is the number of the first item where the measurement is a part of a larger one, so
    that its repetitions are those that it has in the whole.
    The image comes back as torch, where the data are.
    """
    sure = as_error_map(error_map)
    if sure == "learned":
        _check_learned(method, finish, learned_error)
    started = time.perf_counter()
    whole = source.completed() if isinstance(source, Measurement) else None
    parts: Iterable[Measurement | None] = [None]
    if whole is not None:
        count = at_once(whole, method.bytes_per_pixel, device, together)
        parts = pieces(whole, count, sets=sets)
    estimates: list[list[Tensor]] = []
    residuals: list[Tensor] = []
    masks: list[Tensor] = []
    changes: list[Tensor] = []
    misfits: list[Tensor] = []
    errors: list[Tensor] = []
    items = first
    home = source.data.device if isinstance(source, Measurement) else source.y.device
    for part in parts:
        with torch.inference_mode():
            unit = None
            if part is not None and (any_unit or build is None):
                part, unit = in_own_unit(part, sets=sets)
            likelihood = _likelihood(source, part, build, sets, device)
            found = method.solve(part, likelihood)
            residual, measured = weighted_residual(likelihood, found[-1])
            changes.append(_changes(found, unit, likelihood.item_axes))
            if keep_steps:
                misfits.append(_misfits(likelihood, found))
            kept = found if keep_steps else found[-1:]
            finished = [finish(x, likelihood).to(home) for x in kept]
            estimates.append([_in_file_unit(x, unit, likelihood) for x in finished])
            residuals.append(residual.to(home))
            masks.append(measured.expand(residual.shape).to(home))
            if not bool(torch.isfinite(found[-1]).all()):
                raise DataError(
                    "the reconstruction is not finite: check that noise and data have the same "
                    "units"
                )
            if isinstance(sure, Bootstrap):
                again = partial(_estimate_again, method, part)
                error = error_map_of(likelihood, found[-1], again, sure, finish=finish, first=items)
                errors.append(_in_file_unit(error.to(home), unit, likelihood))
                items += likelihood.items
            elif sure is not None:
                assert method.error is not None
                tell = partial(method.error, part, likelihood, found)
                error = learned_error(found[-1], tell).to(home)
                errors.append(_in_file_unit(error, unit, likelihood))
    if isinstance(source, Likelihood):
        source.to(home)
    axes = 3 if whole is not None and whole.kind == "kspace" else 2
    batch = () if whole is None else tuple(whole.data.shape[:-axes])
    steps = [_joined(step, batch) for step in zip(*estimates, strict=True)]
    residual = _joined(residuals, batch)
    found_by = diagnose(planar(residual), planar(_joined(masks, batch)))
    diagnostics = replace(found_by, changes=_relative(torch.stack(changes).sum(0)))
    return Reconstruction(
        image=steps[-1],
        residual=residual,
        chi2=diagnostics.chi2,
        diagnostics=diagnostics,
        provenance=_provenance(whole, method, sure, device, time.perf_counter() - started),
        uncertainty=_joined(errors, batch) if errors else None,
        measurement=whole,
        steps=list(steps) if keep_steps else [],
        step_chi2=tuple(_relative(torch.stack(misfits).sum(0), root=False)) if misfits else (),
    )


def weighted_residual(likelihood: Likelihood, x: Tensor) -> tuple[Tensor, Tensor]:
    """``(y - A x) / sigma``, and where something was measured (broadcastable to it)."""
    measured = likelihood.measured
    if isinstance(likelihood, Poisson):
        seen = likelihood.expected(x)
        return likelihood.weight * (likelihood.y - seen) / seen.sqrt(), measured
    if not isinstance(likelihood, Gaussian):
        raise OptionError(
            f"{type(likelihood).__name__} has no residual: use Gaussian or Poisson likelihoods"
        )
    return likelihood.weighted_residual(x), measured


def _likelihood(
    source: Measurement | Likelihood,
    part: Measurement | None,
    build: Callable[[Measurement], Likelihood] | None,
    sets: bool,
    device: torch.device,
) -> Likelihood:
    if part is None:
        assert isinstance(source, Likelihood)
        return source.to(device)
    part = moved(part, device) if part.data.device != device else part
    return (part.likelihood(sets=sets) if build is None else build(part)).to(device)


def _check_learned(method: Method, finish: Finish, learned_error: LearnedError) -> None:
    """Raise OptionError where a method tells no error, or nothing makes it that of the image."""
    if method.error is None:
        raise OptionError(
            f"{method.name} tells no error of its own (with these weights): give a number of "
            "repetitions, error_map=8 (--error-map 8)"
        )
    if finish is not plainly and learned_error is of_estimate:
        raise OptionError(
            "the error of such an image is not learned: give a number of repetitions, error_map=8 "
            "(--error-map 8)"
        )


def _said(sure: Bootstrap | Learned) -> dict[str, Any]:
    return {"learned": True} if isinstance(sure, str) else asdict(sure)


def _estimate_again(method: Method, part: Measurement | None, observed: Likelihood) -> Tensor:
    """The last estimate of a piece whose data are another draw."""
    if part is not None:
        part = replace(part, data=as_data(observed).to(part.data))
    return method.solve(part, observed)[-1]


def _joined(parts: Sequence[Tensor], batch: tuple[int, ...]) -> Tensor:
    """Pieces as one tensor with the leading axes of the data, free of inference mode."""
    if len(parts) == 1:
        return parts[0].clone()
    joined = torch.cat(list(parts))
    return joined.reshape(*batch, *joined.shape[1:])


def _in_file_unit(image: Tensor, unit: OwnUnit | None, likelihood: Likelihood) -> Tensor:
    """An image, or its error, in the units of the data."""
    if unit is None:
        return image
    batch = likelihood.y.ndim - len(likelihood.operator.range.shape)
    return image * unit.of(image, image.ndim - batch)


def _changes(estimates: Sequence[Tensor], unit: OwnUnit | None, axes: int) -> Tensor:
    """``|x_t - x_(t-1)|^2`` and ``|x_t|^2`` of each step after the first, ``(steps - 1, 2)``.

    Items, of so many ``axes``, count in the units of the data.
    """

    def power(x: Tensor) -> Tensor:
        if unit is not None:
            x = x * unit.of(x, axes).double()
        x = torch.view_as_real(x) if x.is_complex() else x
        return x.square().sum(dtype=torch.float64)

    norms = [torch.stack([power(b - a), power(b)]) for a, b in pairwise(estimates)]
    return torch.stack(norms).cpu() if norms else torch.zeros(0, 2, dtype=torch.float64)


def _misfits(likelihood: Likelihood, estimates: Sequence[Tensor]) -> Tensor:
    """The squared residual of each step and how many real components it has, ``(steps, 2)``."""
    rows = []
    for x in estimates:
        residual, measured = weighted_residual(likelihood, x)
        count = measured.expand(residual.shape).sum() * (2 if residual.is_complex() else 1)
        rows.append(torch.stack([residual.abs().square().sum(dtype=torch.float64), count]))
    return torch.stack(rows).cpu()


def _relative(sums: Tensor, root: bool = True) -> tuple[float, ...]:
    tiny = torch.finfo(torch.float64).tiny
    ratio = sums[:, 0] / sums[:, 1].clamp_min(tiny)
    return tuple((ratio.sqrt() if root else ratio).tolist())


def _provenance(
    whole: Measurement | None,
    method: Method,
    sure: Bootstrap | Learned | None,
    device: torch.device,
    seconds: float,
) -> dict[str, Any]:
    came = {} if whole is None else dict(whole.provenance)
    assumed = came.pop("assumed", [])
    return {
        "rimaging": __version__,
        "method": method.name,
        **method.provenance,
        **({} if sure is None else {"error_map": _said(sure)}),
        "device": str(device),
        "seconds": round(seconds, 3),
        "assumed": list(assumed),
        "input": came,
    }
