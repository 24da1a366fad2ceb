"""sigpy's operator is ours, and its norm keeps within the bound."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rimaging.errors import DataError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.noncartesian import NonCartesianMRI
from rimaging.operators.trajectories import cartesian
from rimaging.solvers.l1_wavelet import l1_wavelet
from rimaging.solvers.noncartesian import solve_noncartesian
from rimaging.solvers.sigpy_sense import bound, robust_max, sense
from rimaging.solvers.total_variation import total_variation


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


def slices_of_a_head() -> tuple[Tensor, Tensor]:
    """K-space and maps of three slices: the middle, air, and a top of a few pixels."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(*2 * [torch.linspace(-1, 1, 24)], indexing="ij")
    radius = torch.hypot(y, x)
    inside = torch.stack([radius < 0.7, radius < -1, radius < 0.08])[:, None]
    maps = torch.stack([1 + 0.4 * x + 0.2j * y, 1 - 0.4 * x])
    maps = maps / maps.abs().square().sum(0).sqrt() * inside
    noise = torch.randn(3, 2, 24, 24, dtype=maps.dtype, generator=generator)
    return CartesianMRI(maps)(inside[:, 0] + 0j) + 1e-3 * noise, maps


@pytest.mark.parametrize("method", [l1_wavelet, total_variation])
def test_air_at_the_ends_of_a_volume_is_zero_and_changes_no_other_slice(method: Any) -> None:
    kspace, maps = slices_of_a_head()
    assert 0 < (maps[2, 0] != 0).sum() < 0.01 * 24 * 24
    mask = torch.ones(24, 24)
    both = method(kspace, mask, maps, lamda=1e-3, iterations=20)
    assert float(both[1].abs().max()) == 0
    for place in (0, 2):
        alone = method(kspace[place], mask, maps[place], lamda=1e-3, iterations=20)
        assert torch.equal(both[place], alone)
        inside = maps[place, 0] != 0
        assert float((both[place][inside] - 1).abs().max()) < 0.2
    with pytest.raises(DataError, match="zero wherever"):
        method(kspace * torch.tensor([1, 0, 1])[:, None, None, None], mask, maps, lamda=1e-3)


def test_air_along_a_trajectory_is_zero_as_well() -> None:
    kspace, maps = slices_of_a_head()
    likelihood = Gaussian(NonCartesianMRI(maps, cartesian((24, 24))), kspace, 1e-3)
    found = solve_noncartesian("tv", likelihood, lamda=1e-3, iterations=20)
    assert float(found[1].abs().max()) == 0
    assert float((found[0][maps[0, 0] != 0] - 1).abs().max()) < 0.2
