"""The rows of the RIM in the tables of MRI: as it comes, as an ensemble, adapted to the scan."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.mri.adaptation import ITERATIONS, adapted
from rimaging.operators.noncartesian import equalised
from rimaging.rim.ensemble import ELEMENTS, ensemble
from rimaging.rim.rim import RIM

OURS = "RIM (ours)"
EIGHT = f"{OURS}, ensemble of {ELEMENTS}"
ADAPTED = f"{OURS}, adapted"
ADAPTED_EIGHT = f"{ADAPTED}, ensemble"
NAMES = (OURS, EIGHT, ADAPTED, ADAPTED_EIGHT)
PROTOCOL = (
    f"Adapted: the RIM fitted to the undersampled scan first, {ITERATIONS} iterations "
    "(`--adapt`), whose time counts."
)


class Answer(NamedTuple):
    """What the RIM makes of a scan: ``(y, x)`` or ``(set, y, x)``, and the seconds it took."""

    name: str
    image: Tensor
    seconds: float


def answers(
    rim: RIM, scan: Measurement, sets: bool, iterations: int = ITERATIONS
) -> Iterator[Answer]:
    """Each of `NAMES` of a completed scan without leading axes, maps included, on the CPU."""
    infer(rim, scan, sets)  # what is planned and compiled at the first call is no method's time
    took = 0.0
    for name in NAMES:
        if name == ADAPTED:
            start = time.perf_counter()
            rim = adapted([(scan, 1 + sets)], rim, iterations, torch.device("cpu"))
            took = time.perf_counter() - start
        start = time.perf_counter()
        image = infer(rim, scan, sets, eight=name in (EIGHT, ADAPTED_EIGHT))
        yield Answer(name, image, took + time.perf_counter() - start)


def infer(rim: RIM, scan: Measurement, sets: bool, eight: bool = False) -> Tensor:
    """The last estimate of the RIM, or of its ``eight`` turns."""
    with torch.inference_mode():
        likelihood = equalised(scan.likelihood(sets=sets))
        steps: list[Tensor] = ensemble(rim, likelihood) if eight else rim(likelihood)
    return steps[-1]
