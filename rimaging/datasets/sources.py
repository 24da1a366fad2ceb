"""A measurement from whatever came: an array, a path, or a measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from rimaging.datasets.arrays import fill_invalid, filled_notes, to_tensor
from rimaging.datasets.ccddata import in_unit, is_nddata, is_quantity, read_nddata
from rimaging.datasets.kinds import wrong_kind
from rimaging.datasets.measurement import Kind, Measurement
from rimaging.datasets.open import open
from rimaging.datasets.suspicions import check_array
from rimaging.datasets.trajectory import with_shots
from rimaging.datasets.volume_axes import as_split
from rimaging.errors import DataError, OptionError

__all__ = ["Array", "Source", "as_measurement", "single"]

Array = NDArray[Any] | Tensor
Source = Array | str | Path | Measurement


def as_measurement(
    source: Source,
    kind: Kind,
    *,
    noise: float | Array | None = None,
    mask: Array | None = None,
    maps: Array | None = None,
    psf: Tensor | None = None,
    trajectory: Array | None = None,
    density: Array | None = None,
    matrix: Sequence[int] | None = None,
) -> Measurement:
    """A measurement of one kind from an array, a path or a measurement; arguments overrule it.

    Of a sky also from astropy's Quantity and from its NDData, with mask, uncertainty, unit and
    header; noise that is a Quantity is told in the unit of the image. Single precision; NaN pixels
    of images are masked, whatever mask is given. Of a file of the sky, provenance keeps the name;
    scans and pictures may be named after a person, so their sha256, which every reader gives,
    stands for them. Raises OptionError for another kind, complex pixels included.
    """
    along = _along(trajectory, density, matrix)
    given = noise is not None or mask is not None or maps is not None or psf is not None
    given = given or bool(along)
    if isinstance(source, str | Path):
        measurement = open(source, kind=kind)
        if measurement.kind == "sky":
            provenance = {"file": Path(source).name, **measurement.provenance}
            measurement = replace(measurement, provenance=provenance)
    elif isinstance(source, Measurement):
        measurement = source
    elif kind == "sky" and (is_nddata(source) or is_quantity(source)):
        measurement = read_nddata(source)
    else:
        return _from_array(source, kind, noise, mask, maps, psf, along)
    if measurement.kind != kind:
        raise wrong_kind(measurement.kind, kind)
    _check_real(measurement.data, kind)
    if measurement.data.dtype not in (torch.float32, torch.complex64):
        measurement = _in_single(measurement)
    if not given:
        return measurement
    weight, coils = as_split(
        measurement,
        None if mask is None else to_tensor(mask, "mask"),
        None if maps is None else single(to_tensor(maps, "maps")),
    )
    measurement = replace(
        measurement,
        noise=measurement.noise if noise is None else _noise(in_unit(noise, measurement.units)),
        mask=measurement.mask if weight is None else weight,
        maps=measurement.maps if coils is None else coils,
        psf=measurement.psf if psf is None else psf,
        **along,
    )
    if mask is None or measurement.filled is None or measurement.mask is None:
        return measurement
    return replace(measurement, mask=measurement.mask * ~measurement.filled)


def _from_array(
    source: Array,
    kind: Kind,
    noise: float | Array | None,
    mask: Array | None,
    maps: Array | None,
    psf: Tensor | None,
    along: dict[str, Any],
) -> Measurement:
    data = single(to_tensor(source, "k-space" if kind == "kspace" else "image"))
    _check_real(data, kind)
    weight = None if mask is None else to_tensor(mask, "mask").to(data.device)
    if "trajectory" in along:
        data, along["trajectory"] = with_shots(data, along["trajectory"])
        along = {k: v.to(data.device) if isinstance(v, Tensor) else v for k, v in along.items()}
    provenance: dict[str, Any] = {}
    if kind != "kspace":
        data, weight, filled = fill_invalid(data, weight)
        if filled is not None:
            provenance["assumed"] = filled_notes(filled)
            along["filled"] = filled
    measurement = Measurement(
        kind=kind,
        data=data,
        noise=_noise(noise),
        mask=weight,
        maps=None if maps is None else single(to_tensor(maps, "maps")).to(data.device),
        psf=psf,
        **along,
        provenance=provenance,
    )
    check_array(measurement)
    return measurement


def _check_real(data: Tensor, kind: Kind) -> None:
    if kind != "kspace" and data.is_complex():
        raise OptionError(
            "the pixels are complex, expected real ones: of k-space use rimaging recon (in Python "
            "rimaging.mri.reconstruct), of a complex image give the magnitude"
        )


def _along(
    trajectory: Array | None, density: Array | None, matrix: Sequence[int] | None
) -> dict[str, Any]:
    """What says where non-Cartesian samples lie, of it what was given."""
    found: dict[str, Any] = {}
    if trajectory is not None:
        found["trajectory"] = to_tensor(trajectory, "trajectory")
    if density is not None:
        weights = single(to_tensor(density, "density"))
        found["density"] = weights[None] if weights.ndim == 1 else weights
    if matrix is not None:
        found["matrix"] = tuple(int(n) for n in matrix)
    return found


def _in_single(measurement: Measurement) -> Measurement:
    """A measurement that was built in another precision, all that goes with its data included."""
    names = ("data", "noise", "maps", "psf", "density", "reference")
    known = {name: getattr(measurement, name) for name in names}
    changed: dict[str, Any] = {k: single(v) for k, v in known.items() if isinstance(v, Tensor)}
    return replace(measurement, **changed)


def _noise(noise: float | Array | None) -> float | Tensor | None:
    if noise is None:
        return None
    sigma = single(to_tensor(noise, "noise"))
    if sigma.is_complex():
        raise DataError(
            "the noise is complex, expected the standard deviation of one real component: give "
            "abs(noise) / 2**0.5 where it is that of complex values"
        )
    return float(sigma) if sigma.ndim == 0 else sigma


def single(array: Tensor) -> Tensor:
    """In single precision, without gradient."""
    return array.detach().to(torch.complex64 if array.is_complex() else torch.float32)
