from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.errors import DataError, ShapeError
from rimaging.operators import cartesian
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.coils import CoilSensitivities
from rimaging.operators.fourier import Fourier
from rimaging.operators.sampling import Sampling
from rimaging.testing import assert_laws, assert_normal, batches, dtypes, random_element, shapes


def problem(
    shape: tuple[int, ...],
    batch: tuple[int, ...] = (),
    coils: int = 3,
    sets: int | None = None,
    constant: tuple[int, ...] = (),
    dtype: torch.dtype = torch.complex128,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random maps and a random mask that does not vary along the axes in `constant`."""
    generator = torch.Generator().manual_seed(3)
    leading = (*batch, coils) if sets is None else (*batch, sets, coils)
    maps = torch.randn((*leading, *shape), generator=generator, dtype=dtype)
    mask_shape = [1 if axis in constant else shape[axis] for axis in range(-len(shape), 0)]
    mask = torch.rand((*batch, *mask_shape), generator=generator) > 0.4
    return maps, mask | (torch.arange(shape[-1]) == shape[-1] // 2)


@given(
    shape=st.one_of(shapes(2, max_size=8), shapes(3, max_size=4)),
    batch=batches(max_size=2),
    sets=st.sampled_from([None, 1, 2]),
    constant=st.sampled_from([(), (-1,), (-2,), (-2, -1)]),
    dtype=dtypes(is_complex=True),
)
def test_laws(
    shape: tuple[int, ...],
    batch: tuple[int, ...],
    sets: int | None,
    constant: tuple[int, ...],
    dtype: torch.dtype,
) -> None:
    """2-D and 3-D, each item its own maps and mask, masks that vary along some axes only."""
    maps, mask = problem(shape, batch, sets=sets, constant=constant, dtype=dtype)
    assert_laws(CartesianMRI(maps, mask, sets=sets is not None, ndim=len(shape)), batch)


@given(shape=shapes(2), batch=batches(max_axes=1))
def test_is_sampling_of_fourier_of_coils(shape: tuple[int, ...], batch: tuple[int, ...]) -> None:
    maps, mask = problem(shape, batch)
    operator = CartesianMRI(maps, mask)
    x = random_element(operator.domain, batch)
    coils = CoilSensitivities(maps)
    fourier = Fourier(coils.range.shape, dtype=torch.complex128)
    sampling = Sampling(mask.unsqueeze(-3).expand(*batch, 3, *shape), 3, torch.complex128)
    torch.testing.assert_close(operator(x), (sampling @ fourier @ coils)(x))


def test_equals_sigpy() -> None:
    linop = pytest.importorskip("sigpy.mri").linop
    maps, mask = problem((6, 9))
    operator = CartesianMRI(maps, mask)
    sense = linop.Sense(maps.numpy(), weights=mask.double().numpy())
    x, y = random_element(operator.domain), random_element(operator.range, seed=1)
    torch.testing.assert_close(operator(x), torch.from_numpy(sense(x.numpy())))
    torch.testing.assert_close(operator.adjoint(y), torch.from_numpy(sense.H(y.numpy())))


def test_portions_of_coils_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number of coils at once, with a rest or without, gives the same normal operator."""
    maps, mask = problem((6, 9), batch=(2,), coils=5)
    operator = CartesianMRI(maps, mask)
    item = 2 * 6 * 9 * maps.element_size()
    for coils in (0, 1, 2, 5, 50):
        monkeypatch.setattr(cartesian, "CACHE_BYTES", coils * item)
        assert_normal(operator, (2,))


@pytest.mark.parametrize(
    ("constant", "axes"), [((), (-2, -1)), ((-2,), (-1,)), ((-1,), (-2,)), ((-2, -1), ())]
)
def test_transforms_only_where_the_mask_varies(
    constant: tuple[int, ...], axes: tuple[int, ...]
) -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = [1 if axis in constant else size for axis, size in ((-2, 9), (-1, 12))]
    mask = torch.rand(sizes, generator=generator) > 0.5
    mask[0, 0] = True
    operator = CartesianMRI(problem((9, 12))[0], mask)
    assert operator.varying == axes
    assert_normal(operator)


def test_full_sampling_with_normalised_maps_is_an_isometry() -> None:
    maps, _ = problem((6, 7))
    maps = maps / maps.abs().square().sum(-3, keepdim=True).sqrt()
    operator = CartesianMRI(maps)
    x = random_element(operator.domain, (2,))
    torch.testing.assert_close(operator.normal(x), x)
    torch.testing.assert_close(operator(x).norm(), x.norm())


def test_a_mask_of_weights_is_squared_in_the_normal_operator() -> None:
    maps, mask = problem((6, 7))
    weights = mask * torch.rand(6, 7, dtype=torch.float64)
    assert_laws(CartesianMRI(maps, weights))


def test_normal_is_differentiable() -> None:
    maps, mask = problem((4, 5))
    operator = CartesianMRI(maps, mask)
    x = random_element(operator.domain).requires_grad_()
    v = random_element(operator.domain, seed=1)
    (gradient,) = torch.autograd.grad(operator.normal(x), x, v)
    torch.testing.assert_close(gradient, operator.normal(v))


def test_one_mask_serves_a_batch_of_maps_and_the_reverse() -> None:
    maps, mask = problem((4, 5), batch=(2,))
    for operator in (CartesianMRI(maps, mask[0]), CartesianMRI(maps[0], mask)):
        x = random_element(operator.domain, (2,))
        assert operator(x).shape == (2, 3, 4, 5)
        torch.testing.assert_close(operator.normal(x), operator.adjoint(operator(x)))


def test_refuses_a_mask_of_another_size() -> None:
    maps, mask = problem((4, 6))
    with pytest.raises(ShapeError, match=r"\(\.\.\., 4, 6\) without coil axis, got \(4, 5\)"):
        CartesianMRI(maps, mask[:, :5])
    with pytest.raises(DataError, match="nothing would be measured"):
        CartesianMRI(maps, torch.zeros(4, 6))


def test_refuses_data_of_another_size() -> None:
    operator = CartesianMRI(*problem((4, 6)))
    with pytest.raises(ShapeError, match=r"\(\.\.\., 3, 4, 6\), got \(3, 4, 5\)"):
        operator.adjoint(torch.zeros(3, 4, 5, dtype=torch.complex128))
