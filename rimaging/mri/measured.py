"""Images that keep every sample that was measured, as GRAPPA's do."""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.errors import OptionError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.coils import expand_coils, root_sum_of_squares, weighted_power
from rimaging.operators.fourier import centred_ifft
from rimaging.operators.likelihood import Likelihood


def check_grid(measurement: Measurement) -> None:
    """Raise OptionError for a trajectory: its samples are not those of an image."""
    if measurement.trajectory is not None:
        raise OptionError(
            "add_residual keeps samples on a grid, these lie along a trajectory: leave it out"
        )


def with_measured(x: Tensor, likelihood: Likelihood) -> Tensor:
    """Put the residual back, coil by coil: ``|x'| = rss_c(S_c x + F* (y_c - m F S_c x)) / |S|``.

    ``x``: ``(..., y, x)`` or ``(..., set, y, x)``; the image is ``(..., y, x)`` with the phase of
    ``x``, of its first set. ``|S|`` is the root-sum-of-squares of the maps (of the first set), one
    for ESPIRiT's: where they are zero, its mean elsewhere. As of any root-sum-of-squares, noise
    alone has a mean above zero. ``likelihood``: of samples on a grid, see `check_grid`.
    """
    operator = likelihood.operator
    assert isinstance(operator, CartesianMRI)
    maps, sets, ndim = operator.maps, operator.sets, operator.ndim
    coils = expand_coils(maps, x, sets, ndim)
    coils = coils + centred_ifft(likelihood.unexplained(x), operator.axes)
    first, phase = (maps.select(-ndim - 2, 0), x.select(-ndim - 1, 0)) if sets else (maps, x)
    size = weighted_power(first, None, False, ndim).sqrt()
    size = torch.where(size > 0, size, size[size > 0].mean())
    return torch.polar(root_sum_of_squares(coils, ndim) / size, phase.angle())
