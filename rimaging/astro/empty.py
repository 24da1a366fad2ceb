"""Bands in which nothing was measured: left out before, and put back empty."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.pieces import chosen
from rimaging.datasets.sources import Array
from rimaging.reconstruction import Reconstruction

NAMED = 8


def without_empty(measurement: Measurement) -> tuple[Measurement, Tensor | None]:
    """The bands of ``(..., y, x)`` with any good pixel, in one axis, and a note of the others.

    Beside it which these are, ``(band,)``; None where it is all of them.
    """
    if measurement.mask is None:
        return measurement, None
    good = measurement.mask.expand(measurement.data.shape) > 0
    there = good.flatten(-2).any(dim=-1).flatten()
    if bool(there.all()):
        return measurement, None
    empty = torch.nonzero(~there).flatten().tolist()
    named = ", ".join(map(str, empty[:NAMED])) + (", ..." if len(empty) > NAMED else "")
    note = f"channel {named} is empty" if len(empty) == 1 else f"channels {named} are empty"
    assumed = [*measurement.provenance.get("assumed", []), f"{note}: left out, NaN in the result"]
    some = chosen(measurement, there)
    return replace(some, provenance={**some.provenance, "assumed": assumed}), there


def with_empty(result: Reconstruction, whole: Measurement, there: Tensor) -> Reconstruction:
    """The result of some bands as that of the ``whole``: NaN, and no residual, in the others."""

    def spread(some: Array, fill: float = torch.nan) -> Tensor:
        values = to_tensor(some)
        full = values.new_full((len(there), *values.shape[1:]), fill)
        full[there.to(values.device)] = values
        return full.reshape(*whole.data.shape[:-2], *values.shape[1:])

    found = result.measurement
    assert found is not None
    noise, psf = found.noise, found.psf
    if isinstance(noise, Tensor) and noise.ndim > 2 and len(noise) > 1:
        noise = spread(noise)
    if psf is not None and psf.ndim > 2 and len(psf) > 1:
        psf = spread(psf, 0.0)
    error = result.uncertainty
    return replace(
        result,
        image=spread(result.image),
        residual=spread(result.residual, 0.0),
        uncertainty=None if error is None else spread(error),
        steps=[spread(step) for step in result.steps],
        measurement=replace(whole, noise=noise, psf=psf, provenance=found.provenance),
    )
