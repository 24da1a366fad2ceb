"""Laws of the RIM: scale, state, data, size, steps, tiles."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rimaging.errors import OptionError, ShapeError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.rim.config import RIMConfig
from rimaging.rim.frame import FRAME_RADIUS
from rimaging.rim.newton import consistent
from rimaging.rim.rim import RIM, SETTLE_DAMPING


def lively(config: RIMConfig, seed: int = 0) -> RIM:
    """A RIM whose random weights matter: the last layer starts near zero otherwise."""
    torch.manual_seed(seed)
    rim = RIM(config)
    torch.nn.init.normal_(rim.cell.write.weight, std=0.1)
    return rim.eval().requires_grad_(False)


REAL = RIMConfig(steps=3, fine=8, coarse=8)
DEEP = RIMConfig(steps=2, fine=8, coarse=8, depth=1, unit="gru")
ATROUS = RIMConfig(steps=2, fine=8, depth=2, atrous=True)
COMPLEX = RIMConfig(
    complex=True, steps=3, initial_iterations=2, newton_iterations=2, fine=8, coarse=8
)
CONFIDENT = replace(COMPLEX, consistency_iterations=2, confidence=True, unit="gru")


def photograph(shape: tuple[int, ...], seed: int = 0, sigma: float = 0.1) -> Gaussian:
    y = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return Gaussian(Identity(shape[-2:], torch.float32), y, sigma)


def scan(
    shape: tuple[int, int] = (24, 20), batch: int = 2, factor: float = 1.0, seed: int = 0
) -> Gaussian:
    g = torch.Generator().manual_seed(seed)
    maps = torch.randn(batch, 4, *shape, dtype=torch.complex64, generator=g)
    maps = maps / torch.linalg.vector_norm(maps, dim=-3, keepdim=True)
    mask = (torch.rand(batch, *shape, generator=g) < 0.5).float()
    x = torch.randn(batch, *shape, dtype=torch.complex64, generator=g)
    operator = CartesianMRI(maps, mask)
    sigma = torch.tensor([0.1, 0.3])[:batch, None, None, None]
    return Gaussian(operator, factor * operator(x), factor * sigma, weight=mask.unsqueeze(-3))


def distance(a: Tensor, b: Tensor) -> float:
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b))


@pytest.mark.parametrize("exponent", [-20, -3, 1, 30])
def test_scaling_data_and_noise_scales_the_estimate_bit_for_bit(exponent: int) -> None:
    # By powers of two nothing is rounded, so the law holds to the last bit.
    c = 2.0**exponent
    for rim, make in (
        (lively(REAL), lambda f: Gaussian(Identity((20, 24), torch.float32), f * Y, f * 0.1)),
        (
            lively(ATROUS),
            lambda f: Gaussian(Identity((20, 24), torch.float32), f * Y, f * 0.1),
        ),
        (lively(COMPLEX), lambda f: scan(factor=f)),
        (lively(CONFIDENT), lambda f: scan(factor=f)),
    ):
        for one, other in zip(rim(make(1.0)), rim(make(c)), strict=True):
            assert torch.equal(c * one, other)


Y = torch.randn(2, 20, 24, generator=torch.Generator().manual_seed(3))


@given(c=st.floats(1e-6, 1e6))
def test_scaling_by_any_factor(c: float) -> None:
    rim = lively(REAL)
    identity = Identity((20, 24), torch.float32)
    one = rim(Gaussian(identity, Y, 0.1))[-1]
    other = rim(Gaussian(identity, c * Y, c * 0.1))[-1]
    assert distance(other / c, one) < 1e-4


@pytest.mark.parametrize("config", [REAL, COMPLEX, CONFIDENT])
def test_the_state_matters_from_the_second_step(config: RIMConfig) -> None:
    rim = lively(config)
    likelihood = scan() if config.complex else photograph((2, 20, 24))
    x = rim.initial(likelihood)
    frame = rim.frame(likelihood, x)
    first = rim.step(likelihood, _step(x, rim.initial_state(x)), frame)
    second = rim.step(likelihood, first, frame)
    for memory in range(2):
        state = list(first.state)
        state[memory] = state[memory] + 1.0
        other = rim.step(likelihood, _step(first.estimate, tuple(state)), frame)
        assert distance(other.estimate, second.estimate) > 1e-3
    # and the initial state changes the second step through the first
    state = tuple(s + 1.0 for s in rim.initial_state(x))
    again = rim.step(likelihood, rim.step(likelihood, _step(x, state), frame), frame)
    assert distance(again.estimate, second.estimate) > 1e-3


def _step(estimate: Tensor, state: tuple[Tensor, ...]):  # type: ignore[no-untyped-def]
    from rimaging.rim.rim import Step

    return Step(estimate, state)  # type: ignore[arg-type]


def test_the_data_are_looked_at_in_every_step() -> None:
    rim = lively(REAL)
    likelihood, other = photograph((1, 20, 24)), photograph((1, 20, 24), seed=1)
    x = rim.initial(likelihood)
    frame = rim.frame(likelihood, x)
    start = _step(x, rim.initial_state(x))
    first = rim.step(likelihood, start, frame)
    assert (
        distance(
            rim.step(other, first, frame).estimate, rim.step(likelihood, first, frame).estimate
        )
        > 1e-3
    )


def test_a_constant_sky_does_not_matter() -> None:
    # Only local differences enter the network: a background comes out as it went in.
    rim = lively(REAL)
    identity = Identity((20, 24), torch.float32)
    one = rim(Gaussian(identity, Y, 0.1))[-1]
    other = rim(Gaussian(identity, Y + 64.0, 0.1))[-1] - 64.0
    assert distance(other, one) < 1e-3


@given(height=st.integers(1, 23), width=st.integers(1, 23), steps=st.integers(1, 5))
def test_any_size_and_any_number_of_steps(height: int, width: int, steps: int) -> None:
    rim = lively(REAL)
    estimates = rim(photograph((height, width)), steps=steps)
    assert len(estimates) == steps
    assert all(e.shape == (height, width) and bool(e.isfinite().all()) for e in estimates)
    more = rim(photograph((height, width)), steps=steps + 1)
    assert all(torch.equal(a, b) for a, b in zip(estimates, more, strict=False))


@pytest.mark.parametrize("lead", [(), (1,), (5,), (2, 3)])
def test_leading_axes_are_batch_and_planes_are_independent(lead: tuple[int, ...]) -> None:
    rim = lively(REAL)
    y = torch.randn(*lead, 16, 16, generator=torch.Generator().manual_seed(0))
    identity = Identity((16, 16), torch.float32)
    whole = rim(Gaussian(identity, y, 0.2))[-1]
    assert whole.shape == y.shape
    planes = [rim(Gaussian(identity, p, 0.2))[-1] for p in y.reshape(-1, 16, 16)]
    assert distance(whole.reshape(-1, 16, 16), torch.stack(planes)) < 1e-5


def test_colour_weights_couple_their_channels() -> None:
    rim = lively(RIMConfig(steps=2, channels=3, fine=8, coarse=8))
    identity = Identity((3, 16, 16), torch.float32)
    y = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    whole = rim(Gaussian(identity, y, 0.2))[-1]
    assert whole.shape == y.shape
    y2 = y.clone()
    y2[:, 0] += 1.0 * torch.randn(16, 16, generator=torch.Generator().manual_seed(1))
    changed = rim(Gaussian(identity, y2, 0.2))[-1]
    assert distance(changed[:, 1], whole[:, 1]) > 1e-4


def test_a_tile_with_its_halo_equals_the_whole() -> None:
    rim = lively(REAL)
    steps = 2
    # Two frames, then per step: 3x3 at half, 3x3 strided, 3x3 at quarter, 3x3, 3x3 at half, write.
    halo = FRAME_RADIUS + steps * 24
    halo += -halo % rim.cell.stride
    size = 2 * halo + 32
    y = torch.randn(size, size + 40, generator=torch.Generator().manual_seed(0))
    whole = rim(Gaussian(Identity(tuple(y.shape), torch.float32), y, 0.3), steps=steps)[-1]
    tile = y[:, 20 : 20 + size]
    part = rim(Gaussian(Identity(tuple(tile.shape), torch.float32), tile, 0.3), steps=steps)[-1]
    inside = slice(halo, size - halo)
    assert distance(part[inside, inside], whole[inside, 20 + halo : 20 + size - halo]) < 1e-6


def test_step_checkpoints_change_nothing() -> None:
    likelihood = photograph((2, 16, 16))
    gradients = []
    for flag in (False, True):
        torch.manual_seed(0)
        rim = RIM(REAL)
        rim(likelihood, checkpoint_steps=flag)[-1].square().sum().backward()
        gradients.append([p.grad for p in rim.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert one is not None and other is not None
        assert torch.equal(one, other)


@pytest.mark.parametrize("config", [COMPLEX, CONFIDENT])
def test_every_weight_gets_a_gradient(config: RIMConfig) -> None:
    torch.manual_seed(0)
    rim = RIM(config)
    rim(scan())[-1].abs().square().sum().backward()
    for name, parameter in rim.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.abs().sum() > 0), name


def test_a_network_without_confidence_yields_to_the_data_and_a_sure_one_does_not() -> None:
    likelihood, chi2 = scan(), []
    for bias in (-1.0, 0.0, 1.0):
        rim = lively(replace(CONFIDENT, steps=1))
        # The last plane of the update is the confidence: let it see the information, above zero.
        rim.cell.write.weight[-4:] = 30 * bias * rim.cell.write.weight[-4:].abs()
        rim.cell.fine = Always()
        chi2.append(float(likelihood.chi2(rim(likelihood)[-1]).mean()))
    assert chi2[0] < chi2[1] < chi2[2]


class Always(torch.nn.Module):
    """A recurrent unit whose answer is one."""

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        return torch.ones_like(state)


def test_relative_damping_yields_more_where_the_contrast_is_high_and_little_was_measured() -> None:
    rim = RIM(RIMConfig(consistency_iterations=20, consistency_damping=0.5, relative_damping=True))
    with torch.no_grad():
        rim.cell.write.weight.zero_()  # an update that says nothing
    sky = 20 * torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
    sky[:, :16] *= 0.1
    weight = torch.ones(32, 32)
    weight[16:] = 0.25
    likelihood = Gaussian(Identity(sky.shape), sky, 2.0, weight=weight)
    with torch.no_grad():
        found = rim(likelihood, steps=1, x0=2 * sky)[-1]
        frame = rim.frame(likelihood, 2 * sky)
    # in units of the noise a pixel is (information y + held x) / (information + held)
    information = likelihood.noise_scale**2 * weight / 2.0**2
    held = information * (sky - found) / (found - 2 * sky)
    assert torch.allclose(held, 0.5 * information.sqrt() / frame.contrast[0, 0], rtol=1e-3)
    assert held[:14, 18:].max() < held[:14, :14].min()


def test_what_is_settled_follows_its_data_closely_and_not_in_training() -> None:
    likelihood = scan()
    plain = lively(CONFIDENT)
    settled = lively(replace(CONFIDENT, settle_iterations=40))
    with torch.no_grad():
        before, after = plain(likelihood), settled(likelihood)
        for one, other in zip(before[:-1], after[:-1], strict=True):
            assert torch.equal(one, other)
        expected = consistent(likelihood, before[-1], 40, SETTLE_DAMPING)
        assert torch.equal(after[-1], expected)
        assert bool((likelihood.chi2(after[-1]) < 0.5 * likelihood.chi2(before[-1])).all())
    learning = settled.requires_grad_(True)  # type: ignore[no-untyped-call]
    assert torch.equal(learning(likelihood)[-1].detach(), before[-1])


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(OptionError, match="unit"):
        RIM(RIMConfig(unit="lstm"))


def test_bfloat16_is_only_the_networks() -> None:
    rim = lively(REAL)
    likelihood = photograph((2, 16, 16))
    exact, low = rim(likelihood)[-1], rim(likelihood, network_dtype=torch.bfloat16)[-1]
    assert low.dtype == torch.float32
    assert 0 < distance(low, exact) < 0.05


def test_soft_sense_sets_share_one_item() -> None:
    # Two map sets are one item of the likelihood and two images for the network.
    rim = lively(COMPLEX)
    g = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 4, 16, 16, dtype=torch.complex64, generator=g) / 3
    mask = (torch.rand(16, 16, generator=g) < 0.6).float()
    operator = CartesianMRI(maps, mask, sets=True)
    x = torch.randn(2, 16, 16, dtype=torch.complex64, generator=g)
    estimates = rim(Gaussian(operator, operator(x), 0.1, weight=mask.unsqueeze(-3)))
    assert estimates[-1].shape == x.shape


def test_wrong_kinds_are_refused() -> None:
    with pytest.raises(ShapeError, match="complex"):
        lively(COMPLEX)(photograph((8, 8)))
    with pytest.raises(ShapeError, match="real"):
        lively(REAL)(scan())
    with pytest.raises(OptionError, match="steps"):
        lively(REAL)(photograph((8, 8)), steps=0)


def test_with_its_level_the_zero_of_the_sky_counts() -> None:
    rim = lively(RIMConfig(steps=2, level=True, fine=8, coarse=8))
    identity = Identity((20, 24), torch.float32)
    one = rim(Gaussian(identity, Y, 0.1))[-1]
    other = rim(Gaussian(identity, Y + 64.0, 0.1))[-1] - 64.0
    assert distance(other, one) > 1e-2


@pytest.mark.parametrize("config", [REAL, DEEP, ATROUS])
def test_nothing_farther_than_the_reach_acts(config: RIMConfig) -> None:
    rim = lively(replace(config, steps=1))
    side = 2 * (rim.cell.reach + FRAME_RADIUS) + 9
    y = torch.randn(1, side, side, generator=torch.Generator().manual_seed(0))
    middle = side // 2
    other = y.clone()
    reach = rim.cell.reach + FRAME_RADIUS
    near = torch.zeros(side, side, dtype=torch.bool)
    near[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1] = True
    other[0, ~near] += 1
    identity = Identity((side, side), torch.float32)
    one, two = (rim(Gaussian(identity, data, 0.5))[-1] for data in (y, other))
    assert torch.allclose(one[0, middle, middle], two[0, middle, middle], atol=1e-5)
    assert not torch.allclose(one, two, atol=1e-3)


def test_the_same_sky_on_another_grid_gives_the_same_answer_of_a_cell_with_holes() -> None:
    sky = torch.randn(1, 101, 101, generator=torch.Generator().manual_seed(0))
    edge = 2 * (2 + 2 * 3) + FRAME_RADIUS + 4
    crop = slice(edge, 90 - edge)
    for config, same in ((ATROUS, True), (DEEP, False)):
        rim = lively(config)
        identity = Identity((90, 90), torch.float32)
        one = rim(Gaussian(identity, sky[:, :90, :90], 0.5))[-1][0, crop, crop]
        for dy, dx in ((1, 0), (3, 5)):
            shifted = sky[:, dy : 90 + dy, dx : 90 + dx]
            other = rim(Gaussian(identity, shifted, 0.5))[-1]
            other = other[0, edge - dy : 90 - edge - dy, edge - dx : 90 - edge - dx]
            assert (distance(other, one) < 1e-5) == same
