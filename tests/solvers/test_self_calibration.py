"""Self-calibration: gains of a simulated array come back."""

from __future__ import annotations

import itertools

import pytest
import torch

from rimaging.errors import ShapeError
from rimaging.solvers.self_calibration import station_gains

PAIRS = torch.tensor(list(itertools.combinations((3, 5, 6, 9, 11), 2))).T
MOMENTS = 3
STATIONS = PAIRS.repeat(1, MOMENTS)
TIMES = torch.arange(MOMENTS).repeat_interleave(PAIRS.shape[1])
G = torch.Generator().manual_seed(0)


def pairs(z: torch.Tensor) -> torch.Tensor:
    return torch.stack((z.real, z.imag))


@pytest.mark.parametrize("amplitudes", [True, False])
def test_the_gains_come_back(amplitudes: bool) -> None:
    count = STATIONS.shape[1]
    model = torch.randn(count, generator=G, dtype=torch.complex128)
    angle = 3 * torch.randn(MOMENTS, 12, generator=G, dtype=torch.float64)
    size = 0.2 * torch.randn(MOMENTS, 12, generator=G, dtype=torch.float64)
    gains = torch.polar((amplitudes * size).exp(), angle)
    product = gains[TIMES, STATIONS[0]] * gains[TIMES, STATIONS[1]].conj()
    found = station_gains(
        pairs(product * model),
        pairs(model),
        torch.ones(count).double(),
        STATIONS,
        TIMES,
        amplitudes=amplitudes,
        iterations=500,
    )
    assert torch.allclose(found, product, atol=1e-6)


def test_lengths_are_checked() -> None:
    with pytest.raises(ShapeError, match="stations"):
        station_gains(
            torch.ones(2, 4), torch.ones(2, 4), torch.ones(4), torch.ones(2, 3), torch.ones(4)
        )
