"""sigpy's operator is ours, and its norm keeps within the bound."""

from __future__ import annotations

import torch

from rimaging.operators.cartesian import CartesianMRI
from rimaging.solvers.sigpy_sense import bound, robust_max, sense


def random_scan() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, 7, 10, dtype=torch.complex128, generator=generator)
    return maps, (torch.rand(7, 10, generator=generator) < 0.5).double()


def test_maps_as_ours() -> None:
    maps, mask = random_scan()
    ours, theirs = CartesianMRI(maps, mask, sets=True), sense(maps.numpy(), mask.numpy())
    x = torch.randn(2, 7, 10, dtype=torch.complex128, generator=torch.Generator().manual_seed(1))
    y = ours.forward(x)
    torch.testing.assert_close(y, torch.from_numpy(theirs(x.numpy())))
    torch.testing.assert_close(ours.adjoint(y), torch.from_numpy(theirs.H(y.numpy())))


def test_the_bound_holds_and_is_met_by_a_full_scan() -> None:
    maps, mask = random_scan()
    full = CartesianMRI(maps, sets=True).norm(200) ** 2
    torch.testing.assert_close(float(full), bound(maps), rtol=1e-2, atol=0)
    assert CartesianMRI(maps, mask, sets=True).norm(200) ** 2 <= bound(maps)


def test_an_outlier_does_not_move_the_maximum() -> None:
    image = torch.linspace(0, 1, 1000).reshape(20, 50)
    spoiled = image.clone()
    spoiled[3, 4] = 1e6
    assert abs(robust_max(spoiled, False) - robust_max(image, False)) < 2e-3
    assert abs(robust_max(image, False) - 0.99) < 2e-3
