"""Damped Gauss-Newton directions."""

from __future__ import annotations

import pytest
import torch

from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.rim.newton import consistent, newton_direction


def test_solves_the_damped_normal_equations() -> None:
    g = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 4, 5, dtype=torch.complex128, generator=g)
    mask = (torch.rand(4, 5, generator=g) < 0.7).double()
    operator = CartesianMRI(maps, mask)
    y = operator(torch.randn(4, 5, dtype=torch.complex128, generator=g))
    likelihood = Gaussian(operator, y, 0.2, weight=mask.unsqueeze(-3))
    x = likelihood.zeros()
    d = newton_direction(likelihood, x, likelihood.score(x), 60, 0.1)
    variance = likelihood.noise_scale**2
    left = variance * likelihood.curvature(x, d) + 0.1 * d
    assert torch.allclose(left, variance * likelihood.score(x), rtol=1e-8, atol=1e-10)


def test_the_identity_is_solved_at_once_and_stays_solved() -> None:
    y = torch.randn(3, 6, 7, generator=torch.Generator().manual_seed(0))
    y[1] = 0  # nothing to solve for this item
    likelihood = Gaussian(Identity((6, 7), torch.float32), y, 0.5)
    x = likelihood.zeros()
    for iterations in (1, 8):
        d = newton_direction(likelihood, x, likelihood.score(x), iterations, 0.0)
        assert torch.allclose(d, y, rtol=1e-6, atol=1e-6)


def test_items_of_a_batch_do_not_see_each_other() -> None:
    g = torch.Generator().manual_seed(1)
    y = torch.randn(2, 6, 7, generator=g)
    sigma = torch.rand(2, 6, 7, generator=g) + 0.1
    both = Gaussian(Identity((6, 7), torch.float32), y, sigma)
    x = both.zeros()
    d = newton_direction(both, x, both.score(x), 3, 0.3)
    for i in range(2):
        one = Gaussian(Identity((6, 7), torch.float32), y[i], sigma[i])
        zero = one.zeros()
        alone = newton_direction(one, zero, one.score(zero), 3, 0.3)
        assert torch.allclose(d[i], alone, rtol=1e-5, atol=1e-6)


def test_the_gradient_in_the_damping_of_consistency() -> None:
    g = torch.Generator().manual_seed(3)
    mask = (torch.rand(4, 5, generator=g) < 0.5).double()
    maps = torch.randn(3, 4, 5, dtype=torch.complex128, generator=g)
    y = torch.randn(3, 4, 5, dtype=torch.complex128, generator=g) * mask
    likelihood = Gaussian(CartesianMRI(maps, mask), y, 0.2, weight=mask.unsqueeze(-3))
    x = torch.randn(4, 5, dtype=torch.complex128, generator=g)
    damping = (0.2 + torch.rand(4, 5, dtype=torch.float64, generator=g)).requires_grad_()
    assert torch.autograd.gradcheck(lambda d: consistent(likelihood, x, 60, d), (damping,))


@pytest.mark.parametrize("iterations", [1, 3])
def test_the_gradient_is_that_of_the_iterations_that_were_made(iterations: int) -> None:
    # far from converged, where the gradient of the solution would be another one
    g = torch.Generator().manual_seed(4)
    mask = (torch.rand(4, 5, generator=g) < 0.5).double()
    maps = torch.randn(3, 4, 5, dtype=torch.complex128, generator=g)
    y = torch.randn(2, 3, 4, 5, dtype=torch.complex128, generator=g) * mask
    likelihood = Gaussian(CartesianMRI(maps, mask), y, 0.2, weight=mask.unsqueeze(-3))
    x = torch.randn(2, 4, 5, dtype=torch.complex128, generator=g).requires_grad_()
    damping = (0.01 + torch.rand(4, 5, dtype=torch.float64, generator=g)).requires_grad_()

    def moved(x: torch.Tensor, damping: torch.Tensor) -> torch.Tensor:
        return consistent(likelihood, x, iterations, damping, diagonal=damping + 1)

    assert torch.autograd.gradcheck(moved, (x, damping))


def test_the_gradient_through_consistency_is_that_of_its_linear_map() -> None:
    # x -> x + (H + d)^-1 (b - H x) is affine and self-adjoint, so this tests its gradient.
    g = torch.Generator().manual_seed(2)
    maps = torch.randn(3, 4, 5, dtype=torch.complex128, generator=g)
    mask = (torch.rand(4, 5, generator=g) < 0.5).double()
    operator = CartesianMRI(maps, mask)
    y = operator(torch.randn(4, 5, dtype=torch.complex128, generator=g))
    likelihood = Gaussian(operator, y, 0.2, weight=mask.unsqueeze(-3))
    x, v, w = (torch.randn(4, 5, dtype=torch.complex128, generator=g) for _ in range(3))
    x.requires_grad_()
    (pulled,) = torch.autograd.grad(consistent(likelihood, x, 60, 0.3), x, w)
    pushed = consistent(likelihood, x + v, 60, 0.3) - consistent(likelihood, x, 60, 0.3)
    assert torch.allclose((w.conj() * pushed).sum().real, (pulled.conj() * v).sum().real, rtol=1e-8)
    # and the data are honoured: the residual is smaller than before
    with torch.no_grad():
        assert bool(likelihood.chi2(consistent(likelihood, x, 60, 0.3)) < likelihood.chi2(x))
