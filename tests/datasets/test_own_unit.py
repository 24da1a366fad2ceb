"""A unit near the noise: a power of two, item by item, and none where it is not needed."""

from __future__ import annotations

import pytest
import torch

from rimaging.datasets.measurement import Measurement
from rimaging.datasets.own_unit import in_own_unit, power_of_two


def test_the_unit_is_a_power_of_two_near_the_noise_of_each_item() -> None:
    noise = torch.tensor([3e-30, 1.0, 2e25])[:, None, None]
    data = noise * torch.ones(3, 4, 5)
    near, unit = in_own_unit(Measurement(kind="image", data=data, noise=noise))
    assert unit is not None and isinstance(near.noise, torch.Tensor)
    sizes = unit.sizes.flatten()
    assert torch.equal(torch.exp2(sizes.double().log2().round()), sizes.double())
    assert float(sizes[1]) == 1 and bool(((near.noise > 0.7) & (near.noise < 1.5)).all())
    assert torch.equal(near.data * unit.sizes, data)
    assert unit.of(torch.zeros(3, 2, 4, 5), 3).shape == (3, 1, 1, 1)


def test_ordinary_noise_stays_and_masked_noise_has_no_say() -> None:
    noise = torch.ones(4, 5)
    noise[0] = 1e-30
    mask = torch.ones(4, 5)
    mask[0] = 0
    ordinary = Measurement(kind="image", data=torch.ones(4, 5), noise=noise, mask=mask)
    same, unit = in_own_unit(ordinary)
    assert same is ordinary and unit is None


@pytest.mark.parametrize("scale", [0.0, float("nan"), float("inf"), 1.0, 1e-4, 1e4])
def test_what_is_no_scale_or_an_ordinary_one_is_left(scale: float) -> None:
    assert float(power_of_two(torch.tensor(scale))) == 1


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e30, 1e38])
def test_a_unit_and_its_inverse_are_numbers(scale: float) -> None:
    unit = power_of_two(torch.tensor(scale))
    assert 0.25 < scale / float(unit) < 4 and bool(torch.isfinite(1 / unit))


@pytest.mark.parametrize("sets", [False, True])
def test_maps_of_any_size_come_near_one_and_the_image_into_their_units(sets: bool) -> None:
    sizes = torch.tensor([3e-6, 1.0, 7e4])[:, None, None, None]
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 4, 5, 6, generator=generator, dtype=torch.complex64)
    maps = maps / torch.linalg.vector_norm(maps, dim=1, keepdim=True)
    maps[..., 0] = 0  # where no coil sees
    own = sizes * maps
    data = torch.ones(3, 4, 5, 6, dtype=torch.complex64)
    given = own if not sets else torch.stack((own, 0.1 * own), dim=1)
    near, unit = in_own_unit(
        Measurement(kind="kspace", data=data, noise=1.0, maps=given), sets=sets
    )
    assert unit is not None and near.maps is not None
    first = near.maps[:, 0] if sets else near.maps
    rss = torch.linalg.vector_norm(first, dim=1)[..., 1:]
    assert bool(((rss > 0.7) & (rss < 1.42)).all())
    image = torch.ones(3, 5, 6)
    back = unit.of(image, 2).reshape(3, 1, 1, 1, *(1,) * sets)
    assert torch.equal(near.maps, given * back)
    assert torch.equal(near.data, data)


def test_maps_of_espirit_stay() -> None:
    maps = torch.full((4, 5, 6), 0.5 + 0j)
    data = torch.ones(4, 5, 6, dtype=torch.complex64)
    ordinary = Measurement(kind="kspace", data=data, noise=1.0, maps=maps)
    assert in_own_unit(ordinary) == (ordinary, None)
