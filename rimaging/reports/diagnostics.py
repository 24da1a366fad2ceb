"""Does the reconstruction explain the data? Tests of the residual, and what they mean in words.

The residual is in units of the noise, ``r = (y - A x) / sigma``. If the image is right and the
noise is as stated, ``r`` is white with unit variance in each real component.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

from rimaging.errors import DataError, ShapeError
from rimaging.reports.arrays import to_torch

_CHI2_LOW, _CHI2_HIGH = 0.8, 1.2
_CORRELATION = 0.05
_FLATNESS = 0.98
_CHANGE = 0.02
_SIGNIFICANT = 4.0  # standard errors, so that a small image is not blamed for its sampling noise
_RINGS = 12


@dataclass(frozen=True)
class Verdict:
    """One finding in plain language; ``level`` says how it should be shown."""

    level: Literal["good", "note", "warning"]
    text: str


@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """Numbers about the residual and the iteration.

    ``chi2``: mean squared residual of a real component, 1 if all is well. ``correlation``: between
    neighbours at distance 1, 2, ..., 0 if white. ``flatness``: of the power spectrum, 1 if white.
    ``changes``: ``|x_t - x_(t-1)| / |x_t|`` of each step. ``samples``: real components measured.
    """

    chi2: float
    correlation: tuple[float, ...]
    flatness: float
    samples: int
    changes: tuple[float, ...] = ()

    @property
    def white(self) -> bool:
        """Whether neither the correlation nor the spectrum shows structure in the residual."""
        limit = max(_CORRELATION, _SIGNIFICANT / math.sqrt(max(self.samples, 1)))
        # For white noise 1 - flatness averages about 30 / samples with 12 rings.
        floor = min(_FLATNESS, 1 - _SIGNIFICANT * 30 / max(self.samples, 1))
        return max(map(abs, self.correlation), default=0.0) <= limit and self.flatness >= floor

    def verdicts(self) -> list[Verdict]:
        """What the numbers say, one sentence each, the most important first."""
        found = [self._fit(), self._whiteness()]
        if self.changes:
            found.append(self._convergence())
        return found

    def _fit(self) -> Verdict:
        spread = _SIGNIFICANT * math.sqrt(2 / max(self.samples, 1))
        value = f"chi2 {self.chi2:.2f} per measured value"
        if self.chi2 > max(_CHI2_HIGH, 1 + spread):
            return Verdict("warning", f"{value}: noise underestimated, or the model is wrong.")
        if self.chi2 < min(_CHI2_LOW, 1 - spread):
            return Verdict("note", f"{value}: noise overestimated, or the image follows the noise.")
        return Verdict("good", f"{value}: the residual is as large as the noise.")

    def _whiteness(self) -> Verdict:
        if not self.white:
            neighbours = max(self.correlation, key=abs, default=0.0)
            return Verdict(
                "warning",
                f"The residual has structure (neighbours correlate by {neighbours:+.2f}, spectral "
                f"flatness {self.flatness:.2f}): something in the data is not explained.",
            )
        if self._fit().level == "good":
            return Verdict("good", "The residual is white: the data are explained to the noise.")
        return Verdict("good", "The residual is white: what is left looks like noise.")

    def _convergence(self) -> Verdict:
        last = self.changes[-1]
        if not math.isfinite(last) or last > _CHANGE:
            return Verdict(
                "note", f"The last step still changed the image by {last:.1%}: take more."
            )
        return Verdict("good", f"Converged: the last step changed the image by {last:.1%}.")


def diagnose(
    residual: NDArray[Any] | Tensor,
    mask: NDArray[Any] | Tensor | None = None,
    estimates: Sequence[NDArray[Any] | Tensor] = (),
) -> Diagnostics:
    """Test a residual for size and structure, and the estimates for convergence.

    Args:
        residual: ``(y - A x) / sigma``, ``(..., y, x)``, real or complex; ``sigma`` is the standard
            deviation of one real component.
        mask: 1 where something was measured, broadcastable to ``residual``; all of it by default.
        estimates: the image after every step, in order.

    Raises:
        ShapeError: not ``(..., y, x)``, or a mask that does not fit.
        DataError: nothing measured, or non-finite values where something was.
    """
    values, weight = _components(residual, mask)
    return Diagnostics(
        chi2=float((values**2).sum() / weight.sum()),
        correlation=tuple(_correlation(values, weight, lag) for lag in (1, 2)),
        flatness=_flatness(values, weight),
        samples=int(weight.sum()),
        changes=changes(estimates),
    )


def changes(estimates: Sequence[NDArray[Any] | Tensor]) -> tuple[float, ...]:
    """Relative change ``|x_t - x_(t-1)| / |x_t|`` of every step after the first estimate."""
    images = [to_torch(x) for x in estimates]
    return tuple(
        float((b - a).norm() / b.norm().clamp_min(torch.finfo(torch.float32).tiny))
        for a, b in pairwise(images)
    )


def _components(
    residual: NDArray[Any] | Tensor, mask: NDArray[Any] | Tensor | None
) -> tuple[Tensor, Tensor]:
    """Real components ``(n, y, x)`` of the residual, zero where masked, and their 0/1 weights."""
    values = to_torch(residual)
    if values.ndim < 2:
        raise ShapeError(f"residual is {tuple(values.shape)}; expected (..., y, x)")
    measured = torch.ones((), dtype=torch.bool) if mask is None else to_torch(mask) != 0
    try:
        measured = measured.to(values.device).broadcast_to(values.shape)
    except RuntimeError:
        raise ShapeError(
            f"mask is {tuple(measured.shape)}; expected it to broadcast to the residual "
            f"{tuple(values.shape)}"
        ) from None
    if values.is_complex():
        values = torch.view_as_real(values.resolve_conj()).movedim(-1, 0)
        measured = measured.expand(values.shape)
    values = torch.where(measured, values, torch.zeros_like(values)).to(torch.float64)
    if not bool(measured.any()):
        raise DataError("the mask is zero everywhere; expected at least one measured value")
    if not bool(torch.isfinite(values).all()):
        raise DataError("residual has NaN or infinite values where the mask says measured")
    grid = values.shape[-2:]
    return values.reshape(-1, *grid), measured.reshape(-1, *grid).to(torch.float64)


def _correlation(values: Tensor, weight: Tensor, lag: int) -> float:
    """Correlation of the measured pairs ``lag`` pixels apart: of the two axes, the larger one."""
    found = 0.0
    for axis in (-2, -1):
        length = values.shape[axis] - lag
        if length < 1:
            continue
        near, far = values.narrow(axis, 0, length), values.narrow(axis, lag, length)
        both = weight.narrow(axis, 0, length) * weight.narrow(axis, lag, length)
        norm = float(((near**2 + far**2) * both).sum()) / 2
        here = float((near * far * both).sum()) / norm if norm else 0.0
        found = max(found, here, key=abs)
    return found


def _flatness(values: Tensor, weight: Tensor) -> float:
    """Geometric over arithmetic mean of the power in 12 rings of spatial frequency, equally wide.

    White noise stays flat under a mask: at every frequency its expected power is the number of
    measured values.
    """
    spectrum = torch.view_as_real(torch.fft.rfft2(values, norm="ortho"))
    power = spectrum.square_().sum(dim=(0, -1))
    height, width = values.shape[-2:]
    fy = torch.fft.fftfreq(height, dtype=torch.float64, device=values.device)
    fx = torch.fft.rfftfreq(width, dtype=torch.float64, device=values.device)
    ring = (torch.hypot(fy[:, None], fx) * 2 * _RINGS).long().clamp_max(_RINGS - 1).flatten()
    # of a real image half of the spectrum is there: the other half is the same
    twice = 2 - ((fx == 0) | (fx == 0.5)).to(power).expand_as(power)
    empty = power.new_zeros(_RINGS)
    count = empty.index_add(0, ring, twice.flatten())
    rings = (empty.index_add(0, ring, (twice * power).flatten()) / count)[count > 0]
    if not bool((rings > 0).all()):
        return 0.0 if bool((rings > 0).any()) else 1.0
    return float(rings.log().mean().exp() / rings.mean())
