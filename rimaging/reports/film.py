"""A film strip: the estimate after each step of inference, and a curve of how it went."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rimaging.errors import DataError, ShapeError
from rimaging.reports.arrays import to_numpy
from rimaging.reports.canvas import BLUE, ORANGE, figure_of, gray, png
from rimaging.reports.metrics import psnr
from rimaging.reports.scales import Kind, plane, scale_of

FRAMES = 8
"""Pictures in a strip; of more steps an even choice, the first and the last among them."""


def film(
    steps: Sequence[NDArray[Any] | Tensor],
    kind: Kind,
    *,
    reference: NDArray[Any] | Tensor | None = None,
    changes: Sequence[float] = (),
    chi2: Sequence[float] = (),
    before: NDArray[Any] | Tensor | None = None,
) -> bytes:
    """Draw inference in time as a PNG: pictures above, a curve below.

    The curve is PSNR at each step where the truth is known; else the relative change from step to
    step (logarithmic), and chi2 beside it where it is given.

    Args:
        steps: the estimate after each step, all of one shape ``(..., y, x)``.
        kind: how it is shown, as in `rimaging.reports.scales`.
        reference: the truth; its maximum is the peak of the PSNR (1 for pictures).
        changes: ``|x_t - x_(t-1)| / |x_t|`` from the second step on.
        chi2: mean squared residual after each step.
        before: the data, shown first where they have the shape of the estimates.

    Raises:
        DataError: no steps. ShapeError: pictures of other shapes.
    """
    if not steps:
        raise DataError("there are no steps to show: reconstruct with keep_steps=True")
    numbers = chosen(len(steps))
    shown = {f"step {number}": plane(steps[number - 1], kind) for number in numbers}
    if before is not None and plane(before, kind).shape == shown["step 1"].shape:
        shown = {"data": plane(before, kind), **shown}
    if reference is not None:
        shown["truth"] = plane(reference, kind)
    if len({picture.shape for picture in shown.values()}) != 1:
        raise ShapeError("a film needs estimates and truth of one shape: crop them")
    scale = scale_of(steps[-1] if reference is None else reference, kind)
    height, width = next(iter(shown.values())).shape[:2]
    side = min(2.2, 12.0 / len(shown))
    size = (side * len(shown), side * height / width + 2.4)
    heights = (side * height / width + 0.3, 2.1)
    with figure_of(2, len(shown), size, heights=heights) as (figure, axes):
        for axis, (name, picture) in zip(axes[0], shown.items(), strict=True):
            gray(axis, scale(picture), name)
        grid = axes[1][0].get_gridspec()
        assert grid is not None
        for axis in axes[1]:
            axis.remove()
        _curve(figure.add_subplot(grid[1, :]), steps, kind, reference, changes, chi2)
        return png(figure)


def chosen(count: int) -> list[int]:
    """Which of the steps 1 to ``count`` are shown, at most `FRAMES`."""
    return sorted({round(n) for n in np.linspace(1, count, min(count, FRAMES))})


def psnr_curve(
    steps: Sequence[NDArray[Any] | Tensor], reference: NDArray[Any] | Tensor, kind: Kind
) -> list[float]:
    """PSNR of the magnitude of each step: peak 1 for pictures, else the truth's maximum."""
    truth = np.abs(to_numpy(reference)) if kind == "kspace" else to_numpy(reference)
    peak = 1.0 if kind == "image" else float(truth.max())
    seen = [np.abs(to_numpy(x)) if kind == "kspace" else to_numpy(x) for x in steps]
    return [psnr(truth, x, peak) for x in seen]


def _curve(
    axis: Any,
    steps: Sequence[NDArray[Any] | Tensor],
    kind: Kind,
    reference: NDArray[Any] | Tensor | None,
    changes: Sequence[float],
    chi2: Sequence[float],
) -> None:
    marks: dict[str, Any] = {"marker": "o", "ms": 3.5, "lw": 1.5}
    axis.set_xlabel("step")
    axis.set_xlim(0.5, len(steps) + 0.5)
    axis.grid(axis="y", color="0.9", lw=0.6)
    if reference is not None:
        values = psnr_curve(steps, reference, kind)
        axis.plot(range(1, len(values) + 1), values, color=BLUE, **marks)
        axis.set_ylabel("PSNR (dB)")
        return
    if changes:
        where = range(len(steps) - len(changes) + 1, len(steps) + 1)
        axis.plot(where, [max(c, 1e-9) for c in changes], color=BLUE, **marks)
        axis.set_yscale("log")
    axis.set_ylabel("relative change", color=BLUE)
    if chi2 and all(math.isfinite(c) for c in chi2):
        other = axis.twinx()
        other.plot(range(1, len(chi2) + 1), chi2, color=ORANGE, **marks)
        other.set_ylabel("chi2 per measured value", color=ORANGE)
        other.spines["right"].set_visible(True)
