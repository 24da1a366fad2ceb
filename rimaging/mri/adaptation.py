"""Weights fitted to one's own undersampled scans; see `rimaging.rim.adaptation`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.coil_maps import check_heard, with_maps
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.own_unit import in_own_unit
from rimaging.datasets.pieces import moved, representatives
from rimaging.datasets.sources import Source, as_measurement
from rimaging.datasets.splitting import split
from rimaging.errors import OptionError
from rimaging.method import Weights, check_counts, choose_device, load_rim
from rimaging.operators.likelihood import Likelihood
from rimaging.operators.noncartesian import equalised
from rimaging.rim.adaptation import adapt as fit
from rimaging.rim.rim import RIM

__all__ = ["ITERATIONS", "adapt", "adapted"]

ITERATIONS = 60
"""Of one scan; see docs/results.md for what more of them give."""


def adapt(
    scans: Source | Sequence[Source],
    weights: Weights = "mri",
    *,
    iterations: int = ITERATIONS,
    sets: int | None = None,
    calibration: int = 24,
    device: str | torch.device | None = None,
    report: Callable[[int], None] | None = None,
) -> RIM:
    """Fit the RIM to undersampled scans, without a full one: to a scanner, an organ, a protocol.

    A quarter of the samples is left out, anew in each iteration, and predicted; what the RIM gets
    better at is what these scans need (`rimaging.rim.adaptation.adapt`). Of each scan at most eight
    slices are looked at.

    Args:
        scans: paths, `Measurement` s or k-space ``(..., coil, y, x)``; one, or a list of them.
        weights: to start from: name, path or `RIM`.
        iterations: some seconds each on a CPU.
        sets, calibration, device: as in `rimaging.mri.reconstruct`.
        report: called after each iteration with its number.

    Returns:
        A RIM for ``weights=`` of `rimaging.mri.reconstruct`; `rimaging.rim.weights.save_weights`
        keeps it.

    Raises:
        OptionError: no scan, no iteration. DataError: scans without noise or maps, or with too few
        samples. ShapeError, WeightsError: as `rimaging.mri.reconstruct`.
    """
    one = isinstance(scans, np.ndarray | Tensor | str | Path | Measurement)
    given = cast("Sequence[Source]", [scans] if one else scans)
    if not given:
        raise OptionError("there is no scan to adapt to: give one")
    check_counts({"iterations": iterations})
    place = choose_device(device)
    rim, _ = load_rim(weights, place)
    ready = []
    for scan in given:
        measurement = as_measurement(scan, "kspace").completed()
        measurement, count = with_maps(measurement, sets=sets, calibration=calibration)
        check_heard(measurement)
        ready.append((measurement, count))
    return adapted(ready, rim, iterations, place, report)


def adapted(
    scans: Sequence[tuple[Measurement, int]],
    rim: RIM,
    iterations: int,
    device: torch.device,
    report: Callable[[int], None] | None = None,
) -> RIM:
    """`adapt` for completed scans with maps, and how many sets these are, where the RIM is."""
    slices = [
        (in_own_unit(item, sets=sets > 1)[0], sets > 1)
        for scan, sets in scans
        for item in representatives(scan, sets=sets > 1)
    ]

    def draw(generator: torch.Generator) -> tuple[Likelihood, Likelihood]:
        item, sets = slices[int(torch.randint(len(slices), (), generator=generator))]
        given, held = (moved(part, device) for part in split(item, generator))
        return _likelihood(given, sets), _likelihood(held, sets)

    return fit(rim, draw, iterations, report=report)


def _likelihood(part: Measurement, sets: bool) -> Likelihood:
    return equalised(part.likelihood(sets=sets))
