"""What was never exposed: a footprint in zeros is found, and zeros that are data are left alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from rimaging.datasets.exposure import REACH, blank_areas, with_exposure
from rimaging.datasets.measurement import Measurement

SIZE = 128


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def noise() -> Tensor:
    return torch.randn(SIZE, SIZE, generator=generator())


def outside() -> Tensor:
    """A diamond, as a turned frame leaves it on its mosaic."""
    axis = (torch.arange(SIZE) - SIZE / 2).abs()
    return axis[:, None] + axis > 74


def sky(data: Tensor, mask: Tensor | None = None) -> Measurement:
    return Measurement(kind="sky", data=data, mask=mask)


def poisson(rate: float | Tensor) -> Tensor:
    return torch.poisson(rate * torch.ones(SIZE, SIZE), generator=generator())


def star(width: float) -> Tensor:
    axis = torch.arange(SIZE) - SIZE / 2
    return torch.exp(-(axis[:, None] ** 2 + axis**2) / (2 * width**2))


@pytest.mark.parametrize("level", [0.0, 100.0, 1e-18])
def test_the_zeros_around_a_footprint_were_not_exposed(level: float) -> None:
    scale = 1e-18 if 0 < level < 1 else 1.0
    data = torch.where(outside(), 0, scale * noise() + level)
    data[60, 60] = 0  # a single one is a value like any other
    found = with_exposure(sky(data))
    assert found.mask is not None and torch.equal(found.mask == 0, outside())
    assert any("never exposed" in note for note in found.provenance["assumed"])
    assert with_exposure(found) is found


def test_a_strip_at_the_edge_is_enough_and_a_gap_within_must_be_a_square() -> None:
    data = noise() + 50
    data[:, :3] = 0
    data[40:45, 40:46] = 0
    data[80, 20:60] = 0
    found = with_exposure(sky(data))
    assert found.mask is not None
    blank = found.mask == 0
    assert bool(blank[:, :3].all()) and bool(blank[40:45, 40:46].all())
    assert int(blank.sum()) == 3 * SIZE + 30


ZEROS: dict[str, Callable[[], Tensor]] = {
    "few counts": lambda: poisson(0.02),
    "few counts beside a bright source": lambda: poisson(0.02 + 50 * star(12)),
    "few counts as rates": lambda: poisson(0.02) / 0.37,
    "rates beside a bright source": lambda: poisson(0.01 + 50 * star(12)) / (1.1 + star(30)),
    "integers in a frame": lambda: torch.where(outside(), 0, (10 * noise()).round() + 500),
    "a model": lambda: star(2.0),
    "a phantom of few levels": lambda: 0.3 * (star(20) > 0.5) + 0.25 * (star(8) > 0.5),
    "smooth noise clipped at zero": lambda: avg_pool2d(noise()[None, None], 9, stride=1, padding=4)[
        0, 0
    ].clamp_min(0),
    "scattered zeros": lambda: noise() * (torch.rand(SIZE, SIZE, generator=generator()) > 0.3),
    "nothing at all": lambda: torch.zeros(SIZE, SIZE),
}


@pytest.mark.parametrize("case", ZEROS)
def test_zeros_that_are_data_stay(case: str) -> None:
    data = ZEROS[case]()
    assert bool((data == 0).any())
    measurement = sky(data)
    assert with_exposure(measurement) is measurement


def test_of_several_bands_one_may_be_blank_all_over() -> None:
    cube = torch.stack([noise(), torch.zeros(SIZE, SIZE), noise()])
    found = with_exposure(sky(cube))
    assert found.mask is not None
    assert found.mask.flatten(1).any(dim=1).tolist() == [True, False, True]
    counting = sky(cube)
    assert with_exposure(counting, counts=True) is counting


def test_what_was_masked_stays_masked() -> None:
    mask = torch.ones(SIZE, SIZE)
    mask[50:70, 50:70] = 0
    data = torch.where(outside() | (mask == 0), 0, noise() + 9)
    found = with_exposure(sky(data, mask))
    assert found.mask is not None
    assert torch.equal(found.mask > 0, ~outside() & (mask > 0))


def test_an_area_is_known_from_its_surroundings() -> None:
    """So that a tile finds what the whole finds, as far in as it looks."""
    data = torch.where(outside(), 0, noise() + 9)
    good = torch.ones_like(data, dtype=torch.bool)
    whole = blank_areas(data, good)
    part = (slice(0, 70), slice(0, 80))
    inner = (slice(REACH, -REACH), slice(REACH, -REACH))
    assert torch.equal(blank_areas(data[part], good[part])[inner], whole[part][inner])
    assert bool(whole[part][inner].any()) and not bool(whole[part][inner].all())
