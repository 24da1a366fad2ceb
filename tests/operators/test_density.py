from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rimaging.errors import DataError, ShapeError
from rimaging.operators.density import pipe_menon, ramp, voronoi
from rimaging.operators.nufft import NUFFT
from rimaging.operators.trajectories import cartesian, radial, random, spiral

SHAPE = (24, 28)
TRAJECTORIES = {
    "radial": radial(SHAPE, 66, 56),
    "golden": radial(SHAPE, 80, 56, angles="golden"),
    "spiral": spiral(SHAPE, 6),
}
Density = Callable[[Tensor, tuple[int, int]], Tensor]


@pytest.mark.parametrize("density", [pipe_menon, voronoi])
def test_on_the_full_grid_all_weights_are_one(density: Density) -> None:
    weights = density(cartesian((6, 8)), (6, 8))
    inner = weights[1:-1, 1:-1] if density is voronoi else weights
    torch.testing.assert_close(inner, torch.ones_like(inner), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", TRAJECTORIES)
@pytest.mark.parametrize("density", [ramp, pipe_menon, voronoi])
def test_gridding_gives_the_image_back_at_its_own_scale(density: Density, name: str) -> None:
    trajectory = TRAJECTORIES[name]
    if density is ramp and name == "spiral":
        with pytest.raises(DataError, match="spokes"):
            ramp(trajectory, SHAPE)
        return
    y, x = (torch.linspace(-1, 1, n, dtype=torch.float64) for n in SHAPE)
    image = torch.exp(-6 * (y[:, None].square() + x.square())) + 0j
    operator = NUFFT(trajectory.flatten(0, 1), SHAPE, dtype=torch.complex128)
    weights = density(trajectory, SHAPE)
    assert weights.shape == trajectory.shape[:-1] and bool((weights > 0).all())
    gridded = operator.adjoint(weights.flatten() * operator(image))
    assert (gridded - image).norm() <= 0.06 * image.norm()
    # k-space inside the ellipse, in cells; Pipe-Menon gives the outermost samples more
    assert float(weights.sum()) == pytest.approx(math.pi / 4 * math.prod(SHAPE), rel=0.1)


def test_the_ramp_is_the_area_of_sectors_and_voronoi_agrees() -> None:
    k = radial((32, 32), 20, 32)
    analytic, cells = ramp(k, (32, 32)), voronoi(k, (32, 32))
    inner = slice(6, 15)  # neither the shared middle nor the outer end
    torch.testing.assert_close(analytic[:, inner], cells[:, inner], rtol=0.02, atol=0)
    torch.testing.assert_close(cells[:, 16].sum(), analytic[:, 16].sum(), rtol=0.05, atol=0)


def test_samples_at_one_place_share_their_weight() -> None:
    k = random(SHAPE, 40)
    twice = torch.cat((k, k), dim=1)
    for density, tolerance in ((pipe_menon, 1e-6), (voronoi, 1e-9)):
        once, shared = density(k, SHAPE), density(twice, SHAPE)  # type: ignore[operator]
        torch.testing.assert_close(shared, once.repeat(1, 2) / 2, rtol=tolerance, atol=0)


def test_three_dimensions() -> None:
    k = cartesian((5, 5, 5))
    for density in (pipe_menon, voronoi):
        middle = density(k, (5, 5, 5)).reshape(5, 5, 5)[2, 2, 2]  # type: ignore[operator]
        assert float(middle) == pytest.approx(1, abs=1e-6)


def test_what_has_no_density_is_refused() -> None:
    with pytest.raises(ShapeError, match="pipe_menon"):
        ramp(random(SHAPE, 9)[0], SHAPE)
    with pytest.raises(DataError, match="one line"):
        voronoi(radial(SHAPE, 1), SHAPE)
