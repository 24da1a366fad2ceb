from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.noncartesian import NonCartesianMRI
from rimaging.operators.trajectories import radial
from rimaging.solvers.noncartesian import grid_coils, gridding, solve_noncartesian

SHAPE = (24, 20)
METHODS: list[Any] = ["zero-filled", "cg-sense", "l1-wavelet", "tv"]


def maps(sets: bool = False) -> Tensor:
    y, x = torch.linspace(-1, 1, SHAPE[0])[:, None], torch.linspace(-1, 1, SHAPE[1])
    found = torch.stack([torch.exp(-((y - a) ** 2) + 1j * a * x) for a in (-1, 0, 1)])
    found = found / found.abs().square().sum(0).sqrt()
    return torch.stack((found, found.flip(0) * 0.1)) if sets else found


def image(*batch: int) -> Tensor:
    y, x = torch.linspace(-1, 1, SHAPE[0])[:, None], torch.linspace(-1, 1, SHAPE[1])
    x = ((y**2 + x**2 < 0.6) * (2 + x)) + 0j
    return x.expand(*batch, *SHAPE).clone()


def likelihood(*batch: int, own: bool = False, scale: float = 1.0) -> Gaussian:
    k = radial(SHAPE, 14, 48)
    if own:
        k = torch.stack([radial(SHAPE, 14, 48, angles="golden", first=14 * i) for i in range(2)])
    operator = NonCartesianMRI(maps(), k)
    clean = operator(image(*batch))
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0), dtype=clean.dtype)
    return Gaussian(operator, scale * (clean + 0.02 * noise), 0.014 * scale)


def error(x: Tensor) -> float:
    return float((x - image()).norm() / (image().norm() * len(x.reshape(-1, *SHAPE)) ** 0.5))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_sees_the_object_at_its_scale(method: Any) -> None:
    settings = {"lamda": 1e-3, "iterations": 12}
    single = solve_noncartesian(method, likelihood(), **settings)  # type: ignore[arg-type]
    assert error(single) < (0.25 if method == "zero-filled" else 0.15)
    both = solve_noncartesian(method, likelihood(2, own=True), **settings)  # type: ignore[arg-type]
    assert both.shape == (2, *SHAPE) and error(both) < 0.25
    louder = solve_noncartesian(method, likelihood(scale=1000.0), **settings)  # type: ignore[arg-type]
    torch.testing.assert_close(louder / 1000, single, rtol=1e-3, atol=1e-3)


def test_the_density_may_have_any_scale() -> None:
    here = likelihood()
    operator = here.operator
    assert isinstance(operator, NonCartesianMRI)
    density = operator.density()
    torch.testing.assert_close(
        gridding(operator, here.y, 7 * density), gridding(operator, here.y), rtol=1e-4, atol=1e-4
    )


def test_coils_are_gridded_without_maps() -> None:
    here = likelihood()
    assert isinstance(here.operator, NonCartesianMRI)
    rss = grid_coils(here.y, here.operator.trajectory, (5, *SHAPE))
    assert rss.shape == SHAPE and error(rss) < 0.3


def test_what_cannot_be_solved_is_refused() -> None:
    with pytest.raises(OptionError, match="cg-sense"):
        solve_noncartesian("grappa", likelihood())  # type: ignore[arg-type]
    empty = likelihood()
    empty.y.zero_()
    with pytest.raises(DataError, match="zero everywhere"):
        solve_noncartesian("tv", empty, lamda=0.1)
