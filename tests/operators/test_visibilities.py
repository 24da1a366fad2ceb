"""Visibilities: the laws, the NUFFT beside the sum, weights, beams."""

from __future__ import annotations

import pytest
import torch

from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators import visibilities
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.target import gaussian_psf
from rimaging.operators.visibilities import (
    Visibilities,
    clean_beam,
    dirty_beam,
    dirty_image,
    restored,
    weights_of,
)
from rimaging.testing import (
    assert_adjoint,
    assert_linear,
    assert_normal,
    assert_score,
)

GENERATOR = torch.Generator().manual_seed(0)
U, V = 0.2 * torch.randn(2, 400, generator=GENERATOR, dtype=torch.float64).clamp(-2, 2)
V = 0.5 * V
CELL = 1.0


def operator(shape: tuple[int, int] = (11, 14), count: int = 30) -> Visibilities:
    return Visibilities(U[:count], V[:count], shape, CELL, torch.float64)


def test_the_laws() -> None:
    a = operator()
    assert_linear(a, (2,))
    assert_adjoint(a, (2,))
    assert_normal(a)
    ones = torch.ones(30, dtype=torch.float64)
    total = a.normal_diagonal(ones)
    power = torch.stack(
        [a(unit.reshape(11, 14)).square().sum() for unit in torch.eye(154).double()]
    )
    assert torch.allclose(total.flatten(), power)
    y = a(torch.rand(11, 14, dtype=torch.float64))
    assert_score(Gaussian(a, y, 0.1 + torch.rand(30, dtype=torch.float64)), 0 * total)


def test_the_nufft_agrees_with_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    direct = operator()
    monkeypatch.setattr(visibilities, "DIRECT", 0)
    fast = operator()
    assert fast.nufft is not None and direct.nufft is None
    x = torch.rand(11, 14, dtype=torch.float64)
    assert torch.allclose(fast(x), direct(x), atol=1e-8)
    assert_adjoint(fast)
    y = direct(x)
    assert torch.allclose(fast.adjoint(y), direct.adjoint(y), atol=1e-7)


def test_a_source_in_the_east_lies_to_the_left() -> None:
    a = operator((20, 20))
    sky = torch.zeros(20, 20, dtype=torch.float64)
    sky[10, 7] = 2.0  # three pixels east: l = +3 cells
    angle = -2 * torch.pi * 3 * U[:30]
    assert torch.allclose(a(sky), 2 * torch.stack((angle.cos(), angle.sin())), atol=1e-10)


def test_weights_and_the_limits_of_briggs() -> None:
    sigma = 0.1 + torch.rand(400, generator=GENERATOR, dtype=torch.float64)
    natural = weights_of(U, V, sigma, 20.0)
    uniform = weights_of(U, V, sigma, 20.0, "uniform")
    assert torch.allclose(natural, sigma**-2)
    for robust, limit in ((8.0, natural), (-8.0, uniform)):
        found = weights_of(U, V, sigma, 20.0, "briggs", robust)
        assert torch.allclose(found / found.sum(), limit / limit.sum(), rtol=1e-3)
    twins = weights_of(
        torch.tensor([3.0, -3.0]), torch.tensor([1.0, -1.0]), torch.ones(2), 1.0, "uniform"
    )
    assert twins.tolist() == [0.5, 0.5]
    with pytest.raises(OptionError, match="uniform"):
        weights_of(U, V, sigma, 20.0, "robust")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="sigma"):
        weights_of(U, V, 0 * sigma, 20.0)


def test_a_cell_holds_its_visibilities_and_the_conjugates_of_the_opposite_one() -> None:
    u, v, sigma = U, 0.01 * V, 0.5 + torch.rand(len(U), generator=GENERATOR, dtype=torch.float64)
    field = 40.0  # cells of 1/40: all lie on both sides of v = 0
    own = sigma**-2
    cells = (field * torch.stack((u, v))).round()
    both = torch.cat((cells, -cells), dim=1)
    same = (cells[:, :, None] == both[:, None, :]).all(dim=0).double()
    density = same @ torch.cat((own, own))
    away = (cells != 0).any(dim=0)  # the middle is opposite to itself
    found = weights_of(u, v, sigma, field, "uniform")
    assert torch.allclose(found[away], (own / density)[away])


def test_a_point_of_one_jansky_is_one_jansky_per_beam() -> None:
    a = operator((64, 64), 400)
    weights = weights_of(U, V, torch.ones(400).double(), 64.0)
    beam = dirty_beam(a, weights)
    assert float(beam[32, 32]) == pytest.approx(1) and float(beam.max()) == pytest.approx(1)
    sky = torch.zeros(64, 64, dtype=torch.float64)
    sky[30, 35] = 3.0
    image = dirty_image(a, a(sky), weights)
    assert float(image[30, 35]) == pytest.approx(3)
    assert torch.allclose(image[10:50, 15:55], 3 * beam[12:52, 12:52], atol=1e-9)


def test_a_restored_point_keeps_its_flux_per_beam() -> None:
    beam = gaussian_psf(4.0)
    sky = torch.zeros(40, 40)
    sky[20, 20] = 3.0
    image = restored(sky, torch.zeros(40, 40), beam / beam.max())
    assert float(image[20, 20]) == pytest.approx(3, rel=1e-5)
    area = float((beam / beam.max()).sum())
    assert float(image.sum()) / area == pytest.approx(3, rel=1e-4)
    with pytest.raises(DataError, match="peak"):
        restored(sky, sky, beam)


def test_the_clean_beam_is_that_of_the_baselines() -> None:
    """A Gaussian cover of (u, v), twice as long in u: the beam is half as long in x."""
    u, v = 0.08 * torch.randn(2, 6000, generator=GENERATOR, dtype=torch.float64)
    a = Visibilities(u, 0.5 * v, (64, 64), CELL, torch.float64)
    major, minor, angle = clean_beam(dirty_beam(a, torch.ones(6000, dtype=torch.float64)))
    narrow = 2.3548 / (2 * torch.pi * 0.08)
    assert minor == pytest.approx(narrow, rel=0.05) and major == pytest.approx(2 * narrow, rel=0.05)
    assert min(angle, 180 - angle) < 5


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ShapeError, match="one length"):
        Visibilities(U[:3], V[:4], (8, 8), CELL)
    with pytest.raises(DataError, match="smaller cell"):
        Visibilities(U, V, (8, 8), 10.0)
    with pytest.raises(DataError, match="finite"):
        Visibilities(U * torch.nan, V, (8, 8), CELL)
    with pytest.raises(DataError, match="smaller cells"):
        spike = torch.zeros(16, 16)
        spike[8, 8] = 1
        clean_beam(spike)
