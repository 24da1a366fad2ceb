"""Closures: the gains cancel, and the derivative is the derivative."""

from __future__ import annotations

import itertools

import pytest
import torch

from rimaging.errors import DataError, ShapeError
from rimaging.operators.closure import closures_of
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.visibilities import Visibilities
from rimaging.testing import assert_score

PAIRS = torch.tensor(list(itertools.combinations(range(5), 2))).T
STATIONS = PAIRS.repeat(1, 2)
TIMES = torch.arange(2).repeat_interleave(10)
G = torch.Generator().manual_seed(0)
PLACES = 0.1 * torch.randn(2, 2, 5, generator=G, dtype=torch.float64)  # time, uv, station
U, V = (PLACES[TIMES, c, STATIONS[1]] - PLACES[TIMES, c, STATIONS[0]] for c in (0, 1))
OPERATOR = Visibilities(U, V, (9, 10), 1.0, torch.float64)
SKY = torch.rand(9, 10, generator=G, dtype=torch.float64)
SIGMA = 0.05 + 0.1 * torch.rand(20, generator=G, dtype=torch.float64)


def corrupted(values: torch.Tensor) -> torch.Tensor:
    gains = torch.exp(torch.randn(2, 5, generator=G, dtype=torch.complex128))
    z = torch.complex(values[0], values[1]) * gains[TIMES, STATIONS[0]]
    z = z * gains[TIMES, STATIONS[1]].conj()
    return torch.stack((z.real, z.imag))


def test_gains_cancel_and_all_independent_closures_are_there() -> None:
    values = OPERATOR(SKY)
    closures, y, _ = closures_of(OPERATOR, values, SIGMA, STATIONS, TIMES, least=0.0)
    # (n - 1)(n - 2) / 2 phases and n (n - 3) / 2 amplitudes at each time
    assert closures.triangles.shape[1] == 2 * 6 and len(y) == 2 * 12 + 2 * 5
    assert torch.allclose(closures.of(corrupted(values)), y, atol=1e-9)
    assert torch.allclose(closures(SKY), y) and torch.allclose(closures(7 * SKY), y, atol=1e-9)
    # log amplitudes are white: C diag(sigma / |V|)^2 C^T = 1
    relative = SIGMA / values.norm(dim=0)
    covariance = (closures.matrix * relative**2) @ closures.matrix.T
    assert torch.allclose(covariance, torch.eye(10, dtype=torch.float64), atol=1e-9)


def test_known_gains_add_the_amplitudes() -> None:
    values = OPERATOR(SKY)
    free = closures_of(OPERATOR, values, SIGMA, STATIONS, TIMES, least=0.0)[0]
    known = closures_of(OPERATOR, values, SIGMA, STATIONS, TIMES, spread=0.2, least=0.0)[0]
    wide = closures_of(OPERATOR, values, SIGMA, STATIONS, TIMES, spread=1e2, least=0.0)[0]
    assert known.matrix.shape == (20, 20)
    # the wider the prior of the gains, the less is left but the closures
    power = [c.matrix.T @ c.matrix for c in (free, wide)]
    assert torch.allclose(power[0], power[1], atol=1e-5 * float(power[0].abs().max()))


def test_the_score_is_the_gradient() -> None:
    values = OPERATOR(SKY)
    closures, y, sigma = closures_of(OPERATOR, values, SIGMA, STATIONS, TIMES, least=0.0)
    assert_score(Gaussian(closures, y + 0.1, sigma), SKY)


def test_what_cannot_be_is_refused() -> None:
    values = OPERATOR(SKY)
    with pytest.raises(DataError, match="triangle"):
        closures_of(OPERATOR, values, 1e9 * SIGMA, STATIONS, TIMES)
    with pytest.raises(ShapeError, match="stations"):
        closures_of(OPERATOR, values, SIGMA, STATIONS[:, 1:], TIMES)
