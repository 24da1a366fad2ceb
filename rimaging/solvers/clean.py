"""CLEAN: a sky of points, taken off the dirty image one after the other."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError, ShapeError


class Cleaned(NamedTuple):
    """What CLEAN leaves: ``dirty = beam * model + residual``.

    Attributes:
        model: the components, in Jy/pixel, ``(y, x)``.
        residual: in Jy per dirty beam, ``(y, x)``.
        components: how many were taken off.
    """

    model: Tensor
    residual: Tensor
    components: int


def clean(
    dirty: Tensor,
    beam: Tensor,
    *,
    threshold: float,
    gain: float = 0.1,
    iterations: int = 10_000,
    window: Tensor | None = None,
) -> Cleaned:
    """Take ``gain`` times the highest peak off, as the dirty beam shows it, until none is left.

        p = argmax |r|,   x_p <- x_p + gain r_p,   r <- r - gain r_p beam(. - p)

    The beam has peak 1, so ``r_p`` in Jy/beam is the flux of a point at ``p``. Negative components
    are allowed. It also ends where the peak has doubled since its lowest: then it diverges.

    Args:
        dirty: real ``(y, x)``, in Jy per dirty beam.
        beam: ``(v, u)`` with odd sides and peak 1 in the middle; with ``2 y - 1`` by ``2 x - 1``
            pixels it is exact, a smaller one is taken as zero outside.
        threshold: the peak, in Jy/beam, at which it ends; three times the noise, usually.
        gain: of the loop, above 0 and at most 1.
        iterations: the most components.
        window: 1 where components may lie, ``(y, x)``; everywhere by default.

    Raises:
        ShapeError: a beam with even sides, a window of another size.
        OptionError: a gain outside of (0, 1], a threshold below 0.
        DataError: values that are not finite, a beam whose peak is not 1 in the middle.

    Source: Hogbom, Astron. Astrophys. Suppl. 15, 417 (1974).
    """
    if not 0 < gain <= 1 or not threshold >= 0 or iterations < 0:
        raise OptionError(
            f"clean got {gain=}, {threshold=}, {iterations=}: give a gain of (0, 1], the others "
            "from 0 on"
        )
    _check(dirty, beam, window)
    rows, columns = dirty.shape
    beam = _of_size(beam, (2 * rows - 1, 2 * columns - 1)).to(dirty)
    allowed = None if window is None else (window > 0).to(dirty)
    residual, model = dirty.clone(), torch.zeros_like(dirty)
    lowest, count = float("inf"), 0
    while count < iterations:
        seen = residual.abs() if allowed is None else residual.abs() * allowed
        place = int(seen.argmax())
        y, x = divmod(place, columns)
        peak = float(residual[y, x])
        if abs(peak) <= threshold or abs(peak) > 2 * lowest:
            break
        lowest = min(lowest, abs(peak))
        model[y, x] += gain * peak
        # the beam with its middle, (rows - 1, columns - 1), on the component
        shifted = beam[rows - 1 - y : 2 * rows - 1 - y, columns - 1 - x : 2 * columns - 1 - x]
        residual.sub_(shifted, alpha=gain * peak)
        count += 1
    return Cleaned(model, residual, count)


def _of_size(beam: Tensor, size: tuple[int, int]) -> Tensor:
    """The middle of the beam, with zeros where it does not reach."""
    for axis, length in enumerate(size):
        spare = (beam.shape[axis] - length) // 2
        if spare > 0:
            beam = beam.narrow(axis, spare, length)
        elif spare < 0:
            pad = [0, 0, -spare, -spare] if axis == 0 else [-spare, -spare, 0, 0]
            beam = torch.nn.functional.pad(beam, pad)
    return beam


def _check(dirty: Tensor, beam: Tensor, window: Tensor | None) -> None:
    if dirty.ndim != 2 or beam.ndim != 2 or beam.shape[0] % 2 == 0 or beam.shape[1] % 2 == 0:
        raise ShapeError(
            f"clean got an image {tuple(dirty.shape)} and a beam {tuple(beam.shape)}: give (y, x) "
            "and (v, u) with odd sides, so that one pixel is the middle"
        )
    if window is not None and window.shape != dirty.shape:
        raise ShapeError(
            f"the window has shape {tuple(window.shape)}, the image {tuple(dirty.shape)}: "
            "give one of the same size"
        )
    if not bool(torch.isfinite(dirty).all() and torch.isfinite(beam).all()):
        raise DataError("clean got NaN or infinity: blank those channels, or fill them with 0")
    middle = float(beam[beam.shape[0] // 2, beam.shape[1] // 2])
    if abs(middle - 1) > 1e-3 or float(beam.abs().max()) > 1 + 1e-3:
        raise DataError(
            f"the dirty beam has {middle:.4g} in its middle and up to "
            f"{float(beam.abs().max()):.4g} elsewhere: divide it by its peak, and centre it"
        )
