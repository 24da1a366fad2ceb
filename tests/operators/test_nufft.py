from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.fourier import centred_fft
from rimaging.operators.nufft import NUFFT, Backend
from rimaging.operators.trajectories import cartesian, random
from rimaging.testing import assert_laws, random_element, shapes

BACKENDS: list[Backend] = ["torch", "finufft"]


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "finufft":
        pytest.importorskip("finufft")
    return request.param  # type: ignore[no-any-return]


def direct(x: Tensor, k: Tensor) -> Tensor:
    """The sum itself, over the last axes of ``x``."""
    shape = x.shape[x.ndim - k.shape[-1] :]
    pixels = torch.meshgrid(*(torch.arange(n) - n // 2 for n in shape), indexing="ij")
    phase = sum(k[:, d, None] * p.flatten() / shape[d] for d, p in enumerate(pixels))
    waves = torch.exp(-2j * math.pi * torch.as_tensor(phase))
    sums: Tensor = x.flatten(-len(shape)) @ waves.mT / math.sqrt(math.prod(shape))
    return sums


@settings(max_examples=6)
@given(shape=st.one_of(shapes(2, 1, 14), shapes(3, 1, 6)), seed=st.integers(0, 99))
def test_it_is_the_sum_it_says(backend: Backend, shape: tuple[int, ...], seed: int) -> None:
    k = random(shape, 20, seed)[0]
    x = torch.randn(2, *shape, dtype=torch.complex128)
    expected = direct(x, k)
    for dtype, error in ((torch.complex64, 1e-5), (torch.complex128, 1e-9)):
        seen = NUFFT(k, shape, dtype=dtype, backend=backend)(x.to(dtype))
        assert seen.dtype == dtype
        assert (seen - expected).norm() <= error * expected.norm()


@pytest.mark.parametrize("shape", [(4, 5), (5, 1), (2, 3, 4)])
def test_keeps_the_laws(backend: Backend, shape: tuple[int, ...]) -> None:
    k = random(shape, 9)[0]
    for dtype in (torch.complex64, torch.complex128):
        assert_laws(NUFFT(k, shape, dtype=dtype, backend=backend), (2,))


@pytest.mark.parametrize("shape", [(6, 9), (4, 3, 5)])
def test_on_the_full_grid_it_is_the_centred_transform(
    backend: Backend, shape: tuple[int, ...]
) -> None:
    operator = NUFFT(cartesian(shape).flatten(0, 1), shape, dtype=torch.complex128, backend=backend)
    x = random_element(operator.domain)
    axes = tuple(range(-len(shape), 0))
    torch.testing.assert_close(
        operator(x), centred_fft(x, axes).flatten(), rtol=1e-10, atol=1e-10 * float(x.norm())
    )


def test_items_have_their_own_trajectories(backend: Backend) -> None:
    shape = (5, 6)
    k = torch.stack([random(shape, 9, seed) for seed in range(2)])  # (2, 1, 9, 2): 1 for coils
    operator = NUFFT(k, shape, dtype=torch.complex128, backend=backend)
    assert_laws(operator, (2, 3))
    x = random_element(operator.domain, (4, 2, 3))
    y = operator(x)
    for item in range(2):
        torch.testing.assert_close(y[:, item], direct(x[:, item], k[item, 0]))


def test_coarser_grids_and_tolerances_err_as_they_say() -> None:
    k = random((20, 23), 40)[0]
    x = torch.randn(20, 23, dtype=torch.complex128)
    expected = direct(x, k)
    for oversampling in (1.25, 1.5, 2.0):
        for tolerance in (1e-3, 1e-6, 1e-9):
            operator = NUFFT(
                k,
                (20, 23),
                dtype=torch.complex128,
                tolerance=tolerance,
                oversampling=oversampling,
                backend="torch",
            )
            assert (operator(x) - expected).norm() <= 5 * tolerance * expected.norm()


def test_the_gradient_is_the_adjoint_and_twice_differentiable(backend: Backend) -> None:
    operator = NUFFT(random((2, 3), 4)[0], (2, 3), dtype=torch.complex128, backend=backend)
    x = random_element(operator.domain).requires_grad_()
    y = random_element(operator.range).requires_grad_()
    assert torch.autograd.gradcheck(operator.forward, x)
    assert torch.autograd.gradcheck(operator.adjoint, y)
    assert torch.autograd.gradgradcheck(lambda z: operator(z).abs().square().sum(), x)


def test_copies_and_pickles_are_the_same_operator() -> None:
    operator = NUFFT(random((4, 5), 7)[0], (4, 5), backend="torch")
    x = random_element(operator.domain)
    y = operator(x)
    for other in (copy.deepcopy(operator), pickle.loads(pickle.dumps(operator))):
        assert torch.equal(other(x), y)


REFUSED = {
    "coordinates first": (ShapeError, "end", torch.zeros(2, 9)),
    "complex": (DataError, "real", torch.zeros(9, 2) + 0j),
    "not finite": (DataError, "NaN", torch.full((9, 2), torch.nan)),
    "radians": (DataError, "2 pi", torch.full((9, 2), math.pi)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_trajectories_that_no_image_has_are_refused(case: str) -> None:
    kind, words, trajectory = REFUSED[case]
    with pytest.raises(kind, match=words):
        NUFFT(trajectory, (4, 6))


def test_options_that_do_not_exist_are_refused() -> None:
    with pytest.raises(OptionError, match="choose auto, torch"):
        NUFFT(torch.zeros(3, 2), (4, 4), backend="magic")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="tolerance"):
        NUFFT(torch.zeros(3, 2), (4, 4), tolerance=0.0)


def test_shots_are_a_batch_and_coils_of_another_are_told_how_to_join_them() -> None:
    k, coils = (torch.rand(3, 16, 2) - 0.5) * 8, torch.ones(4, 8, 8) + 0j
    operator = NUFFT(k, (8, 8))
    for call, batch in ((operator, coils), (operator.H, torch.ones(4, 16) + 0j)):
        with pytest.raises(ShapeError, match=r"batch \(3,\).*\(4,\).*flatten\(0, -2\)"):
            call(batch)
    joined = NUFFT(k.flatten(0, -2), (8, 8))(coils)
    torch.testing.assert_close(joined[0].reshape(3, 16), operator(coils[0]))
