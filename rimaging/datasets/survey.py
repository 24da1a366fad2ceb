"""How k-space was sampled, read from its mask: acceleration, pattern, calibration width."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rimaging.operators.calibration import calibration_shape

__all__ = ["Sampling", "survey"]

FULL = 0.98  # of a mask: a converter's zeros are no undersampling
ONE_SIDED = 0.05  # of an axis, missing at one end only: partial Fourier


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """What a mask says.

    acceleration: samples of the acquired extent over those measured. pattern: in words.
    calibration: (height, width) of the fully sampled centre. partial: the parts of y and x that an
    extent around the centre misses on one side, 0 where both sides were measured alike.
    extent: (height, width) of the rows and columns between the first and last measured.
    """

    acceleration: float
    pattern: str
    calibration: tuple[int, int]
    partial: tuple[float, float]
    extent: tuple[int, int]

    @property
    def full(self) -> bool:
        """Whether nothing is missing in the acquired extent, nor beyond it on one side."""
        return self._without_gaps and not any(self.partial)

    @property
    def overall(self) -> float:
        """The acceleration, and what partial Fourier saves beside it."""
        return self.acceleration / math.prod(1 - part for part in self.partial)

    @property
    def _without_gaps(self) -> bool:
        return self.pattern.startswith("fully sampled")

    def __str__(self) -> str:
        """One line, for people."""
        sides = [
            f"partial Fourier {1 - part:.3g} along {axis}"
            for axis, part in zip("yx", self.partial, strict=True)
            if part > 0
        ]
        if not self._without_gaps:
            return ", ".join([f"{self.acceleration:.3g}x, {self.pattern}", *sides])
        return ", ".join([*sides, f"within it {self.pattern}"] if sides else [self.pattern])


def survey(mask: Tensor) -> Sampling:
    """Read a mask (..., y, x), 1 where measured; of several, the first that measured anything.

    The extent leaves out padding and what partial Fourier skips; in it, a mask of whole columns (or
    rows) is told from one of points.
    """
    planes = mask.reshape(-1, *mask.shape[-2:]) > 0
    planes = planes[planes.flatten(1).any(dim=1)]
    if len(planes) == 0:
        return Sampling(
            acceleration=0.0,
            pattern="nothing measured",
            calibration=(0, 0),
            partial=(0.0, 0.0),
            extent=(0, 0),
        )
    plane = planes[0]
    rows, columns = (torch.nonzero(plane.any(dim=d)).flatten() for d in (1, 0))
    inner = plane[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    share = float(inner.to(torch.float32).mean())
    found = calibration_shape(plane, max(plane.shape))
    pattern = "fully sampled" if share >= FULL else _pattern(inner)
    partial = (_partial(rows, plane.shape[0]), _partial(columns, plane.shape[1]))
    narrow = any(a < (1 - 2 * ONE_SIDED) * b for a, b in zip(inner.shape, plane.shape, strict=True))
    if narrow and not any(partial):
        pattern += f" within {inner.shape[0]} x {inner.shape[1]}"
    varies = "" if bool((planes == plane).all()) else ", another mask for each image"
    return Sampling(
        acceleration=1 / share,
        pattern=pattern + varies,
        calibration=found,
        partial=partial,
        extent=(inner.shape[0], inner.shape[1]),
    )


def _pattern(inner: Tensor) -> str:
    if bool((inner == inner[:1]).all()):
        return f"columns, {_spacing(inner[0])}"
    if bool((inner == inner[:, :1]).all()):
        return f"rows, {_spacing(inner[:, 0])}"
    return "points of both axes"


def _spacing(line: Tensor) -> str:
    """Whether lines without a neighbour, outside the dense middle, are equally far apart."""
    index = torch.nonzero(line).flatten()
    steps = index.diff()
    wide = steps[steps > 1]
    if len(wide) == 0:
        return "irregular"
    step = int(wide.mode().values)
    before = torch.cat((steps.new_tensor([2]), steps))
    after = torch.cat((steps, steps.new_tensor([2])))
    alone = index[(before > 1) & (after > 1)]
    aligned = len(alone) > 1 and bool(((alone - alone[0]) % step == 0).all())
    regular = aligned and int(wide.max()) <= step
    return f"every {step}" if regular else "irregular"


def _partial(measured: Tensor, size: int) -> float:
    """The part of an axis that is missing at one end only."""
    first, last = int(measured[0]), int(measured[-1])
    before, after = size // 2 - first, last - (size - 1) // 2
    missing = abs(before - after) / size
    return missing if missing > ONE_SIDED else 0.0
