"""Retrospective undersampling: samples of a whole scan left out, to compare with the whole."""

from __future__ import annotations

from dataclasses import replace

import torch

from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.sources import Array, Source, as_measurement
from rimaging.errors import DataError, ShapeError

__all__ = ["sampling", "undersample"]


def undersample(kspace: Source, mask: Array) -> Measurement:
    """Keep of k-space ``(..., coil, y, x)`` what a mask measures: ``m y``.

    What comes out is no undersampled scan: eddy currents, motion and contrast are those of the
    whole one, and results on it flatter. So its ``provenance["sampling"]`` is "retrospective";
    reconstructions of other undersampled k-space write "prospective".

    Args:
        kspace: NumPy, torch, a path, or a `Measurement`, whose own mask stays in force.
        mask: 1 where to keep, ``(x,)`` or ``(..., y, x)``.

    Raises:
        ShapeError: a mask that does not fit. DataError: a mask that keeps nothing, or has other
        values than 0 and 1.
    """
    whole = as_measurement(kspace, "kspace")
    weight = to_tensor(mask, "mask").to(whole.data.device, torch.float32)
    if not bool(((weight == 0) | (weight == 1)).all()):
        raise DataError("the mask has values other than 0 and 1: threshold it, e.g. mask > 0.")
    if weight.ndim == 1:
        weight = weight[None, :]
    if whole.mask is not None:
        weight = weight * whole.mask
    try:
        data = whole.data * weight.unsqueeze(-3)
        fits = data.shape == whole.data.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ShapeError(
            f"the mask has shape {tuple(weight.shape)}, k-space {tuple(whole.data.shape)}: give a "
            "mask (y, x) or (x,)"
        )
    provenance = {**whole.provenance, "sampling": "retrospective"}
    return replace(whole, data=data, mask=weight, provenance=provenance)


def sampling(measurement: Measurement) -> Measurement:
    """The measurement with ``provenance["sampling"]``: "full", or "prospective" if none is said."""
    if "sampling" in measurement.provenance:
        return measurement
    mask = measurement.mask
    full = mask is not None and bool((mask > 0).all())
    said = {"sampling": "full" if full else "prospective"}
    return replace(measurement, provenance={**measurement.provenance, **said})
