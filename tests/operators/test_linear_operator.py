from __future__ import annotations

import pytest
import torch
from hypothesis import given
from torch import Tensor

from rimaging.errors import OptionError, ShapeError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.coils import CoilSensitivities
from rimaging.operators.convolution import Convolution
from rimaging.operators.fourier import Fourier
from rimaging.operators.identity import Identity
from rimaging.operators.linear_operator import LinearOperator, Scaled, join_localities
from rimaging.operators.projection import RandomProjection
from rimaging.operators.resampling import Bicubic, BlockMean
from rimaging.operators.sampling import Sampling
from rimaging.operators.stack import stack
from rimaging.testing import (
    assert_laws,
    assert_locality,
    assert_normal_bound,
    assert_normal_diagonal,
    random_element,
    shapes,
)

DOUBLE = torch.float64


def psf(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def maps(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.complex128)


def mask(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(2)) > 0.4


def composed() -> dict[str, tuple[LinearOperator, tuple[int, ...]]]:
    """Operators made of others, and the batch of their buffers."""
    blur, other = Convolution(psf(3, 5), (11, 12)), Convolution(psf(5, 3, seed=1), (11, 12))
    wide = Convolution(psf(3, 3), (9, 9), "valid")
    coils = CoilSensitivities(maps(2, 3, 5, 6))
    return {
        "blur twice": (blur @ Convolution(psf(3, 5, seed=1), (11, 12)), ()),
        "blur a larger scene twice": (wide @ Convolution(psf(3, 3), (11, 11), "valid"), ()),
        "blur, then large pixels": (BlockMean((11, 12), 3, DOUBLE) @ blur, ()),
        "large pixels, then blur": (
            Convolution(psf(3, 3), (9, 2)) @ Bicubic((18, 4), 2, dtype=DOUBLE),
            (),
        ),
        "blur and lose pixels": (Sampling(mask(2, 11, 12), dtype=DOUBLE) @ blur, (2,)),
        "sum": (blur + 0.3 * other, ()),
        "scaled": ((0.7 - 0.3j) * CartesianMRI(maps(3, 5, 6), mask(5, 6)), ()),
        "stack": (stack([blur, other, -2 * blur]), ()),
        "stack of stacks": (stack([stack([blur, other]), stack([other, blur])]), ()),
        "adjoint": (RandomProjection((3, 4), 5, dtype=DOUBLE).H, ()),
        "coils": (Fourier((3, 5, 6), dtype=torch.complex128) @ coils, (2,)),
    }


@pytest.mark.parametrize("name", list(composed()))
def test_laws(name: str) -> None:
    operator, batch = composed()[name]
    assert_laws(operator, batch, diagonal=False)
    assert_normal_bound(operator, batch)


@pytest.mark.parametrize("name", ["scaled", "stack", "stack of stacks"])
def test_diagonals_that_stay_exact(name: str) -> None:
    assert_normal_diagonal(*composed()[name])


@given(shape=shapes())
def test_the_algebra_means_what_it_says(shape: tuple[int, ...]) -> None:
    a, b = Convolution(psf(3, 5), shape), Convolution(psf(5, 1, seed=1), shape)
    x = random_element(a.domain, (2,))
    torch.testing.assert_close((a @ b)(x), a(b(x)))
    torch.testing.assert_close((a + b)(x), a(x) + b(x))
    torch.testing.assert_close((3 * a)(x), 3 * a(x))
    torch.testing.assert_close((a * 3)(x), 3 * a(x))
    torch.testing.assert_close(a.H(x), a.adjoint(x))
    torch.testing.assert_close(stack([a, b])(x), torch.stack([a(x), b(x)], dim=1))
    torch.testing.assert_close((a @ b).H(x), (b.H @ a.H)(x))
    assert a.H.H is a


def test_norm_is_the_largest_singular_value_of_each_item() -> None:
    operator = RandomProjection((4, 5), 8, seed=[1, 2, 3], dtype=DOUBLE)
    expected = torch.linalg.matrix_norm(operator.matrix, ord=2)
    torch.testing.assert_close(operator.norm(200), expected, rtol=1e-3, atol=0)
    assert bool((operator.norm(200) <= expected * (1 + 1e-12)).all())
    torch.testing.assert_close(Identity((3, 3), DOUBLE).norm(), torch.ones((), dtype=DOUBLE))


def test_the_estimated_diagonal_is_unbiased_within_its_spread() -> None:
    """Of 32 probes, each off by at most the off-diagonal of its row: five standard errors."""
    operator = Convolution(psf(3, 3), (6, 7))
    weight = torch.rand(6, 7, dtype=DOUBLE)
    units = torch.eye(42, dtype=DOUBLE).reshape(42, 6, 7)
    matrix = operator.adjoint(weight * operator(units)).reshape(42, 42)
    spread = (matrix.square().sum(1) - matrix.diagonal().square()).sqrt().reshape(6, 7)
    estimate = LinearOperator.normal_diagonal(operator, weight)
    error = (estimate - matrix.diagonal().reshape(6, 7)).abs()
    assert bool((error < 5 * spread / 32**0.5).all())
    diagonal = LinearOperator.normal_diagonal(Sampling(mask(4, 5), dtype=DOUBLE))
    assert torch.equal(diagonal, mask(4, 5).double())


def test_what_is_measured_passes_through_the_algebra() -> None:
    sampling = Sampling(mask(4, 5), dtype=DOUBLE)
    blur = Convolution(psf(3, 3), (4, 5))
    for operator in (sampling, sampling @ blur, 2 * sampling):
        measured = operator.measured
        assert measured is not None and torch.equal(measured, mask(4, 5).double())
    assert blur.measured is None and (blur @ sampling).measured is None


def test_a_sum_and_a_stack_measure_what_their_parts_do() -> None:
    first, second = Sampling(mask(4, 5), dtype=DOUBLE), Sampling(mask(2, 4, 5)[1], dtype=DOUBLE)
    blur = Convolution(psf(3, 3), (4, 5))
    either = (mask(4, 5) | mask(2, 4, 5)[1]).double()
    both = (first + second).measured
    assert both is not None and torch.equal(both, either)
    assert (first + blur).measured is None and stack([blur, blur]).measured is None
    stacked = stack([first, blur]).measured
    assert stacked is not None
    assert torch.equal(stacked, torch.stack([mask(4, 5).double(), torch.ones(4, 5, dtype=DOUBLE)]))
    batched = stack([Sampling(mask(2, 4, 5), dtype=DOUBLE), first]).measured
    assert batched is not None and batched.shape == (2, 2, 4, 5)


@pytest.mark.parametrize("factor", [1e-17, 1e-9, 1e9, 1e17])
def test_the_norm_of_a_detector_in_any_unit(factor: float) -> None:
    blur = Convolution(psf(3, 3).float(), (8, 9))
    expected = factor * float(blur.norm())
    assert float((factor * blur).norm()) == pytest.approx(expected, rel=1e-5)
    own = Convolution((factor * psf(3, 3)).float(), (8, 9))
    assert float(own.norm()) == pytest.approx(expected, rel=1e-5)


def test_factors_meet() -> None:
    blur = Convolution(psf(3, 3), (4, 5))
    twice = 0.5 * (blur * 4)
    assert isinstance(twice, Scaled) and twice.operator is blur and twice.factor == 2


def test_localities_join() -> None:
    assert join_localities(2, 3) == 3
    assert join_localities((-1,), (-2,)) == (-2, -1)
    assert join_localities((-3,), 0) == (-3,)
    assert join_localities((-3,), 2) == (-3, -2, -1)


def test_a_blur_after_downsampling_reaches_as_far_as_its_coarse_pixels() -> None:
    operator, _ = composed()["large pixels, then blur"]
    assert operator.locality == 4 + 2
    assert operator.stride == 2
    assert_locality(operator)


def test_buffers_move_with_the_operator() -> None:
    operator = (0.5 * Sampling(mask(4, 5))) @ Convolution(psf(3, 3).float(), (4, 5))
    assert {buffer.device.type for buffer in operator.to("meta").buffers()} == {"meta"}


def test_refuses_operators_that_do_not_fit() -> None:
    small, large = Identity((4, 5)), Identity((4, 6))
    complex_ = Identity((4, 5), torch.complex64)
    for wrong in (large, complex_):
        with pytest.raises(ShapeError, match="build both for one size"):
            small @ wrong
        with pytest.raises(ShapeError, match="build both for one size"):
            small + wrong
        with pytest.raises(ShapeError, match="build all for one size"):
            stack([small, wrong])
    with pytest.raises(ShapeError, match="at least one"):
        stack([])
    with pytest.raises(OptionError, match="real factor"):
        1j * small
    for wrong in (torch.zeros(4, 5), 3, None):
        for compose in (
            lambda: small @ wrong,  # noqa: B023
            lambda: small + wrong,  # noqa: B023
            lambda: stack([small, wrong]),  # noqa: B023
        ):
            with pytest.raises(OptionError, match=r"A\(x\)"):
                compose()


@pytest.mark.parametrize("method", ["forward", "adjoint", "normal"])
def test_every_door_checks_the_shape(method: str) -> None:
    with pytest.raises(ShapeError, match=rf"Identity\.{method} expects \(\.\.\., 4, 5\)"):
        getattr(Identity((4, 5)), method)(torch.zeros(5, 4))


def test_the_representation_says_what_is_mapped_to_what() -> None:
    assert "complex64[5, 6] -> complex64[3, 5, 6]" in repr(
        CoilSensitivities(maps(3, 5, 6).cfloat())
    )
