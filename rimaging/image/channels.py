"""Weights that couple the channels of a picture, on parts of a batch that are lists of planes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.method import Method
from rimaging.operators.likelihood import Likelihood


def by_channels(
    method: Method, likelihood_of: Callable[[Measurement], Likelihood], channels: int
) -> Method:
    """The method, for parts ``(channels n, y, x)`` of what is ``(..., channels, y, x)``.

    `run` cuts a batch into planes, which such weights do not take; ``likelihood_of`` makes the
    likelihood of planes that are ``(n, channels, y, x)`` again.
    """

    def solve(part: Measurement | None, likelihood: Likelihood) -> list[Tensor]:
        if part is None or not _is_list(part, channels):
            return method.solve(part, likelihood)
        whole = _whole(part, channels)
        return [x.flatten(0, 1) for x in method.solve(whole, likelihood_of(whole))]

    def error(
        part: Measurement | None, likelihood: Likelihood, found: list[Tensor], residual: bool
    ) -> Tensor:
        assert method.error is not None
        if part is None or not _is_list(part, channels):
            return method.error(part, likelihood, found, residual)
        whole = _whole(part, channels)
        pictures = [x.unflatten(0, (-1, channels)) for x in found]
        return method.error(whole, likelihood_of(whole), pictures, residual).flatten(0, 1)

    return replace(method, solve=solve, error=None if method.error is None else error)


def _is_list(part: Measurement, channels: int) -> bool:
    """Whether planes of several pictures lie in one axis: a whole batch has one more."""
    return part.data.ndim == 3 and len(part.data) > channels and len(part.data) % channels == 0


def _whole(part: Measurement, channels: int) -> Measurement:
    def pictures(values: Tensor | float | None) -> Tensor | float | None:
        own = isinstance(values, Tensor) and values.ndim == 3 and len(values) == len(part.data)
        return values.unflatten(0, (-1, channels)) if own else values  # type: ignore[union-attr]

    data, mask = pictures(part.data), pictures(part.mask)
    assert isinstance(data, Tensor) and not isinstance(mask, float)
    return replace(part, data=data, mask=mask, noise=pictures(part.noise), reference=None)
