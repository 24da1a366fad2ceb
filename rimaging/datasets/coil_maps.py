"""Coil sensitivity maps of a measurement: those it came with, or ESPIRiT's, in one set or two."""

from __future__ import annotations

import math
from dataclasses import replace
from numbers import Integral

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.kspace_noise import spread
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.pieces import representatives
from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.calibration import calibration_shape
from rimaging.operators.espirit import espirit_with_eigenvalues
from rimaging.operators.gridding import grid_centre

__all__ = ["check_heard", "is_folded", "needs_two_sets", "with_maps"]

LEAST = 6
"""The least width of a calibration region."""

CROP = 0.8
"""Maps end where the eigenvalue falls below: BART's default. At 0.95 the edge of a real head
loses signal that no image through such maps can explain (docs/design/cell.md)."""

FOLDED = 0.05
"""Share of the object whose second eigenvalue exceeds `SECOND`, from which on it is folded: a
wrapped head has 0.19 to 0.21, heads that fit their field of view at most 0.03 (real and simulated
scans of 4 to 16 coils)."""

SECOND = 0.9


def with_maps(
    measurement: Measurement,
    *,
    sets: int | None = None,
    calibration: int = 24,
    folded: bool | None = None,
) -> tuple[Measurement, int]:
    """The measurement with coil maps, a note on where they come from, and how many sets they are.

    sets: 1, or 2 for soft SENSE; None decides by the data (`is_folded`), or by the axes of the maps
    that came with them. folded: what is known of that, where this is a slice of a larger scan.

    Raises DataError where the middle of k-space was not fully sampled, ShapeError for maps without
    the axis of sets that was asked for, OptionError for a calibration region that holds no kernel.
    """
    maps = measurement.maps
    if measurement.matrix is not None and len(measurement.matrix) > 2:
        if sets == 2:
            raise OptionError("sets=2 is for images of two dimensions: use sets=1 for a volume")
        sets = 1
    if maps is not None:
        count = _sets_of(maps, measurement.data.ndim, sets)
        spatial = 2 if measurement.matrix is None else len(measurement.matrix)
        lead = maps.shape[: maps.ndim - 1 - spatial - (count > 1)]
        try:
            np.broadcast_shapes(lead, measurement.data.shape[:-3])
        except ValueError:
            raise ShapeError(
                f"the maps have shape {tuple(maps.shape)} and k-space "
                f"{tuple(measurement.data.shape)}: give maps for each slice, or one for all"
            ) from None
        return measurement, count
    if not isinstance(calibration, Integral) or calibration < LEAST:
        raise OptionError(
            f"calibration is {calibration!r}: give the side of a region in samples, a whole number "
            f"from {LEAST} on"
        )
    kspace, mask = calibration_kspace(measurement, calibration)
    planes = mask.reshape(-1, *mask.shape[-2:])
    shapes = [calibration_shape(plane, calibration) for plane in planes]
    smallest = min(shapes, key=min)
    if min(smallest) < LEAST:
        several = measurement.trajectory is None and math.prod(measurement.data.shape[:-3]) > 1
        film = ", or frames=True (--frames) where these are frames of one slice" if several else ""
        raise DataError(
            f"the fully sampled middle of k-space has {smallest[0]} x {smallest[1]} samples, coil "
            f"maps need {LEAST} x {LEAST}: give maps=, from another scan of the same coils{film}"
        )
    decide = sets is None and measurement.data.shape[-3] > 1
    found, eigenvalues = espirit_with_eigenvalues(
        kspace,
        mask,
        calibration=calibration,
        kernel=None,
        crop=CROP,
        sets=2 if decide or sets == 2 else 1,
    )
    note = f"coil maps estimated by ESPIRiT from {smallest[0]} x {smallest[1]} samples"
    if decide:
        if folded is None:
            items = eigenvalues.reshape(-1, *eigenvalues.shape[-3:])
            folded = needs_two_sets(items[spread(len(items))])
        sets = 2 if folded else 1
        if sets == 1:
            found = found.select(-4, 0)
        else:
            note += ", two sets: the object is wider than the field of view"
    assumed = [*measurement.provenance.get("assumed", []), note]
    provenance = {**measurement.provenance, "assumed": assumed}
    return replace(measurement, maps=found, provenance=provenance), sets or 1


def check_heard(measurement: Measurement) -> None:
    """Refuse a scan whose coil maps are zero everywhere, by DataError; slices of air may have such.

    Of a slice that is reconstructed by itself nobody knows whether others are heard.
    """
    if measurement.maps is not None and not bool((measurement.maps != 0).any()):
        raise DataError(
            "the coil maps are zero everywhere: give others, or where they were estimated, take a "
            "larger calibration region (calibration=24) or give maps="
        )


def is_folded(measurement: Measurement, *, calibration: int = 24) -> bool:
    """Whether `with_maps` would take two sets for a scan, from the slices that it looks at alone.

    Raises DataError as `with_maps`.
    """
    slices = representatives(measurement)
    return any(with_maps(item, calibration=calibration)[1] > 1 for item in slices)


def calibration_kspace(measurement: Measurement, size: int) -> tuple[Tensor, Tensor]:
    """Cartesian k-space (..., coil, y, x) and its mask, the middle of a trajectory gridded.

    Raises DataError for a trajectory in three dimensions.
    """
    if measurement.trajectory is None:
        assert measurement.mask is not None
        return measurement.data, measurement.mask
    assert measurement.matrix is not None
    if len(measurement.matrix) != 2:
        raise DataError("coil maps are estimated in two dimensions: give maps= for this trajectory")
    data, k = measurement.data, measurement.trajectory
    batch = data.shape[:-3]
    items = data.reshape(-1, *data.shape[-3:])
    own = k.expand(*batch, *k.shape[-3:]).reshape(-1, *k.shape[-3:])
    centres = [grid_centre(y, t, measurement.matrix, size) for y, t in zip(items, own, strict=True)]
    kspace = torch.stack([centre for centre, _ in centres])
    mask = torch.stack([where for _, where in centres])
    return kspace.reshape(*batch, *kspace.shape[1:]), mask.reshape(*batch, *mask.shape[1:])


def needs_two_sets(eigenvalues: Tensor) -> bool:
    """Whether pixels show two places at once, by ESPIRiT's eigenvalues ``(..., 2, y, x)``.

    Where the field of view is narrower than the object, two sensitivities belong to a pixel and the
    second eigenvalue is near one too (Uecker et al., MRM 71, 2014). Any slice decides for all.
    """
    first, second = eigenvalues.unbind(-3)
    inside = first > CROP
    folded = inside & (second > SECOND)
    share = folded.sum((-2, -1)) / inside.sum((-2, -1)).clamp_min(1)
    return bool((share > FOLDED).any())


def _sets_of(maps: Tensor, axes: int, sets: int | None) -> int:
    """How many sets the maps of k-space with so many axes are."""
    has_axis = maps.ndim > 3 and maps.shape[-4] == 2
    if sets is None:
        return 2 if has_axis and maps.ndim > axes else 1
    if sets > 1 and not has_axis:
        raise ShapeError(
            f"sets={sets} needs maps (..., {sets}, coil, y, x), got {tuple(maps.shape)}: leave "
            "maps out to have them estimated, or use sets=1"
        )
    return sets
