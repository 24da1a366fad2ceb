from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rimaging.errors import DataError, ShapeError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.noncartesian import NonCartesianMRI, equalised
from rimaging.operators.trajectories import cartesian, radial, random
from rimaging.testing import assert_laws, assert_score, random_element


def maps_of(shape: tuple[int, ...], *lead: int) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn((*lead, *shape), generator=generator, dtype=torch.complex128)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("sets", [False, True])
def test_keeps_the_laws(sets: bool, own: bool, weighted: bool) -> None:
    shape = (5, 6)
    k = torch.stack([random(shape, 12, seed) for seed in range(2 if own else 1)])
    k = k.reshape(-1, 3, 4, 2) if own else k.reshape(3, 4, 2)
    weight = torch.rand(3, 4, dtype=torch.float64) if weighted else None
    maps = maps_of(shape, *((2,) if own else ()), *((2,) if sets else ()), 3)
    operator = NonCartesianMRI(maps, k, weight, sets=sets)
    assert operator.range.shape == (3, 3, 4)
    torch.testing.assert_close(operator.trajectory, k)
    assert_laws(operator, (2,) if own else ())


def test_three_dimensions_keep_the_laws() -> None:
    shape = (3, 4, 2)
    assert_laws(NonCartesianMRI(maps_of(shape, 2), random(shape, 9), backend="torch"))


def test_on_the_full_grid_it_is_the_cartesian_operator() -> None:
    maps = maps_of((6, 5), 2)
    here, there = NonCartesianMRI(maps, cartesian((6, 5))), CartesianMRI(maps)
    x = random_element(there.domain)
    torch.testing.assert_close(here(x), there(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(here.normal(x), there.normal(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(here.normal_diagonal(), there.normal_diagonal())


def test_the_score_is_the_gradient() -> None:
    operator = NonCartesianMRI(maps_of((6, 5), 2), radial((6, 5), 4))
    y = random_element(operator.range)
    sigmas = torch.rand((2, 4, 12), dtype=torch.float64) + 0.5
    for sigma in (0.3, sigmas):
        assert_score(Gaussian(operator, y, sigma), random_element(operator.domain, seed=2))


def test_coils_by_parts_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = NonCartesianMRI(maps_of((6, 5), 4), radial((6, 5), 4))
    x = random_element(operator.domain)
    whole = operator.normal(x)
    monkeypatch.setattr("rimaging.operators.noncartesian.CACHE_BYTES", 1)
    torch.testing.assert_close(operator.normal(x), whole)


def test_what_does_not_fit_is_refused() -> None:
    maps, k = maps_of((6, 5), 2), radial((6, 5), 4)
    with pytest.raises(ShapeError, match=r"trajectory\[None\]"):
        NonCartesianMRI(maps, k[0])
    with pytest.raises(ShapeError, match=r"real weights \(\.\.\., 4, 12\)"):
        NonCartesianMRI(maps, k, torch.ones(12))
    with pytest.raises(DataError, match="d >= 0"):
        NonCartesianMRI(maps, k, -torch.ones(4, 12))
    with pytest.raises(DataError, match="complex maps"):
        NonCartesianMRI(maps.real, k)


def test_equalised_it_is_as_well_conditioned_as_a_mask() -> None:
    shape = (20, 24)
    maps = maps_of(shape, 3)
    maps = maps / maps.abs().square().sum(-3, keepdim=True).sqrt()
    operator = NonCartesianMRI(maps, radial(shape, 40))
    likelihood = Gaussian(operator, random_element(operator.range), 0.5)
    balanced = equalised(likelihood)
    assert isinstance(balanced, Gaussian) and isinstance(balanced.operator, NonCartesianMRI)
    assert float(operator.norm()) ** 2 > 10 > 1.3 > float(balanced.operator.norm()) ** 2
    assert balanced.noise_scale.item() == pytest.approx(0.5)
    assert_score(balanced, random_element(operator.domain, seed=2))
    weight = balanced.operator.weight
    assert weight is not None and float(weight.max()) <= 1


def test_equalising_scales_with_the_data_and_leaves_others_alone() -> None:
    operator = NonCartesianMRI(maps_of((6, 5), 2), radial((6, 5), 9))
    y, x = random_element(operator.range), random_element(operator.domain, seed=1)
    one = equalised(Gaussian(operator, y, 0.3))
    loud = equalised(Gaussian(operator, 8 * y, 8 * 0.3))
    torch.testing.assert_close(loud.score(8 * x), one.score(x) / 8)
    assert equalised(one) is one
    masked = Gaussian(CartesianMRI(maps_of((6, 5), 2)), torch.zeros(2, 6, 5) + 0j, 1.0)
    assert equalised(masked) is masked


def test_equalising_one_density_for_all_or_one_for_each() -> None:
    operator = NonCartesianMRI(maps_of((6, 5), 2), radial((6, 5), 9))
    likelihood = Gaussian(operator, random_element(operator.range, (3,)), 0.3)
    density = operator.density()
    x = random_element(operator.domain, (3,))
    each = equalised(likelihood, torch.stack([density, 2 * density, 3 * density]))
    torch.testing.assert_close(each.score(x), equalised(likelihood).score(x))
