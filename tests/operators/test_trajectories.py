from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.errors import OptionError, ShapeError
from rimaging.operators.trajectories import (
    cartesian,
    radial,
    random,
    spiral,
    stack_of_stars,
)
from rimaging.testing import shapes


@given(shape=shapes(2, 2, 30), spokes=st.integers(1, 9), samples=st.integers(2, 20))
def test_spokes_go_through_the_middle_and_stay_inside(
    shape: tuple[int, int], spokes: int, samples: int
) -> None:
    for angles in ("uniform", "golden", "tiny-golden"):
        k = radial(shape, spokes, samples, angles=angles)  # type: ignore[arg-type]
        assert k.shape == (spokes, samples, 2)
        assert bool((k[:, samples // 2] == 0).all())
        reach = (k / torch.tensor(shape)).norm(dim=-1)
        assert float(reach.max()) <= 0.5 + 1e-12
        step = (k[:, 1:] - k[:, :-1]) / torch.tensor(shape)
        torch.testing.assert_close(step.norm(dim=-1), torch.full_like(reach[:, 1:], 1 / samples))


@pytest.mark.parametrize(("angles", "degrees"), [("golden", 111.246), ("tiny-golden", 23.628)])
def test_golden_spokes_turn_by_the_known_angle_and_go_on(angles: Any, degrees: float) -> None:
    k = radial((8, 8), 13, 16, angles=angles)
    end = k[:, 0]
    angle = torch.atan2(end[:, 0], end[:, 1])
    turned = (angle[1:] - angle[:-1]).rad2deg().remainder(180)
    torch.testing.assert_close(turned, torch.full_like(turned, degrees), atol=1e-3, rtol=0)
    torch.testing.assert_close(radial((8, 8), 5, 16, angles=angles, first=8), k[8:])


def test_uniform_spokes_divide_the_half_turn() -> None:
    angle = torch.atan2(*radial((4, 4), 6, 8)[:, -1].unbind(-1))
    torch.testing.assert_close(angle.rad2deg(), torch.arange(6).double() * 30)


@pytest.mark.parametrize("interleaves", [1, 3, 16])
def test_a_spiral_is_at_nyquist_by_default(interleaves: int) -> None:
    shape = (24, 24)
    k = spiral(shape, interleaves)
    step = (k[:, 1:] - k[:, :-1]).norm(dim=-1)
    assert float(step.max()) <= 1 + 1e-9 and float(step.median()) > 0.95
    assert float(k.norm(dim=-1).max()) == pytest.approx(12)
    cells = torch.cdist(cartesian(shape).reshape(-1, 2), k.reshape(-1, 2))
    within = cartesian(shape).reshape(-1, 2).norm(dim=-1) < 12
    assert float(cells.amin(dim=1)[within].max()) < math.sqrt(0.5) + 0.1  # no hole


def test_a_stack_of_stars_is_radial_in_every_plane() -> None:
    k = stack_of_stars((3, 6, 8), 4, 10, angles="golden")
    assert k.shape == (12, 10, 3)
    planes = k.reshape(3, 4, 10, 3)
    assert planes[:, 0, 0, 0].tolist() == [-1, 0, 1]
    for plane in planes:
        torch.testing.assert_close(plane[..., 1:], radial((6, 8), 4, 10, angles="golden"))


def test_random_samples_fill_k_space_and_repeat() -> None:
    k = random((4, 20), 4000, seed=1)
    assert torch.equal(k, random((4, 20), 4000, seed=1)) and k.shape == (1, 4000, 2)
    assert not torch.equal(k, random((4, 20), 4000, seed=2))
    spread = k.std(dim=1)[0] * math.sqrt(12)
    torch.testing.assert_close(spread, torch.tensor([4.0, 20.0]).double(), rtol=0.05, atol=0)


def test_the_grid_has_its_zero_where_the_house_has_it() -> None:
    assert cartesian((4, 5))[2, 2].tolist() == [0, 0]
    assert cartesian((4, 5))[0, 0].tolist() == [-2, -2]
    assert cartesian((2, 3, 5)).shape == (6, 5, 3)


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(OptionError, match="spokes"):
        radial((8, 8), 0)
    with pytest.raises(OptionError, match="golden"):
        radial((8, 8), 3, angles="silver")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="turns"):
        spiral((8, 8), 3, turns=0.0)
    with pytest.raises(ShapeError, match="2 axes"):
        radial((8, 8, 8), 3)
    with pytest.raises(ShapeError, match="3 axes"):
        stack_of_stars((8, 8), 3)
