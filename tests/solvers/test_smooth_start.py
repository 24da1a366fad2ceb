"""The smooth start: lawful, fills gaps, scales with the data; the RIM's own agrees with it."""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.operators.nonlinear import Pointwise
from rimaging.operators.sampling import Sampling
from rimaging.operators.target import gaussian_psf
from rimaging.rim.config import RIMConfig
from rimaging.rim.interpolation import minus_laplacian
from rimaging.rim.rim import RIM
from rimaging.solvers.differences import differences, differences_adjoint
from rimaging.solvers.smooth_start import ROUGHNESS, Penalised, smooth_start
from rimaging.testing import assert_adjoint, assert_linear

SHAPE = (20, 18)


def plane() -> Tensor:
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(18.0), indexing="ij")
    return (3 + 0.1 * y - 0.2 * x).double()


def gaps(share: float = 0.7) -> Sampling:
    generator = torch.Generator().manual_seed(0)
    return Sampling(torch.rand(SHAPE, generator=generator) > share, dtype=torch.float64)


def test_gaps_are_filled_by_interpolation() -> None:
    hidden = gaps()
    y = torch.stack([hidden(plane()), hidden(100 * plane())])
    sigma = torch.tensor([0.01, 1.0], dtype=torch.float64)[:, None, None]
    x = smooth_start(Gaussian(hidden, y, sigma), iterations=200)
    assert float((x[0] - plane()).abs()[3:-3, 3:-3].max()) < 0.15
    assert torch.allclose(x[1], 100 * x[0], rtol=1e-3)


def test_the_operator_behind_it_keeps_the_laws() -> None:
    blur = Convolution(gaussian_psf(2.0).double(), SHAPE, "reflect")
    y = torch.rand(2, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    stacked = Penalised(Gaussian(blur, y, 0.1 + y))
    assert_linear(stacked, (2,))
    assert_adjoint(stacked, (2,))


def test_the_rim_starts_there_too() -> None:
    hidden = gaps()
    likelihood = Gaussian(hidden, hidden(plane()), 0.01)
    config = RIMConfig(
        initial_iterations=200, initial_roughness=ROUGHNESS, steps=1, fine=4, coarse=4
    )
    expected = smooth_start(likelihood, iterations=200)
    assert torch.allclose(RIM(config).double().initial(likelihood), expected, atol=0.05)
    x = plane().cos()
    assert torch.allclose(minus_laplacian(x), differences_adjoint(differences(x)))


def test_without_a_linear_operator_it_is_zero() -> None:
    detector = Pointwise(Identity(SHAPE, torch.float64), torch.nn.Tanh())
    assert not bool(smooth_start(Gaussian(detector, plane(), 0.1)).any())
