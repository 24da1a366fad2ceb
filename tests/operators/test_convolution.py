from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.convolution import Boundary, Convolution, fast_length
from rimaging.testing import (
    assert_adjoint,
    assert_laws,
    assert_linear,
    assert_locality,
    assert_normal,
    assert_normal_bound,
    batches,
    dtypes,
    random_element,
    shapes,
)

BOUNDARIES = st.sampled_from(["zero", "reflect", "valid", "circular"])
SCIPY = {"zero": "constant", "reflect": "reflect", "circular": "wrap"}


def random_psf(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Neither symmetric nor of one sign: what a mirrored or shifted PSF would not survive."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(4), dtype=dtype)


odd = st.sampled_from([1, 3, 5, 7])


@given(shape=shapes(), batch=batches(), ky=odd, kx=odd, boundary=BOUNDARIES, data=st.data())
def test_laws_of_any_size(
    shape: tuple[int, ...],
    batch: tuple[int, ...],
    ky: int,
    kx: int,
    boundary: Boundary,
    data: st.DataObject,
) -> None:
    """Each item its own PSF; the image may be smaller than the PSF."""
    psf = random_psf(*batch, ky, kx, dtype=data.draw(dtypes(is_complex=False)))
    operator = Convolution(psf, shape, boundary)
    assert_linear(operator, batch)
    assert_adjoint(operator, batch)
    assert_normal(operator, batch)


@pytest.mark.parametrize(
    ("boundary", "ky", "kx"),
    [("zero", 3, 5), ("zero", 5, 1), ("valid", 3, 5), ("valid", 1, 1), ("circular", 3, 5)],
)
def test_all_laws(boundary: Boundary, ky: int, kx: int) -> None:
    assert_laws(Convolution(random_psf(2, ky, kx), (9, 11), boundary), (2,))


def test_locality_with_mirrors() -> None:
    assert_locality(Convolution(random_psf(3, 5), (9, 11), "reflect"))


def test_diagonal_with_mirrors_is_exact_away_from_them() -> None:
    operator = Convolution(random_psf(3, 5), (9, 11), "reflect")
    columns = operator(torch.eye(99, dtype=torch.float64).reshape(99, 9, 11))
    expected = columns.square().sum(dim=(-2, -1)).reshape(9, 11)
    inner = (slice(1, -1), slice(2, -2))
    torch.testing.assert_close(operator.normal_diagonal()[inner], expected[inner])


@pytest.mark.parametrize("boundary", ["zero", "reflect", "valid", "circular"])
@pytest.mark.parametrize("negative", [False, True])
def test_the_bound_holds_and_is_met_by_a_flat_sky(boundary: Boundary, negative: bool) -> None:
    psf = random_psf(2, 3, 5)
    operator = Convolution(psf if negative else psf.abs(), (7, 8), boundary)
    assert_normal_bound(operator, (2,))
    flat = torch.ones(2, *operator.domain.shape, dtype=torch.float64)
    bound, seen = operator.normal_bound(), operator.normal(flat)
    assert torch.allclose(bound, seen) != negative and bool((bound > seen - 1e-9).all())


@given(shape=shapes(), ky=odd, kx=odd, boundary=st.sampled_from(sorted(SCIPY)))
def test_equals_scipy(shape: tuple[int, ...], ky: int, kx: int, boundary: Boundary) -> None:
    from scipy import ndimage

    operator = Convolution(random_psf(ky, kx), shape, boundary)
    x = random_element(operator.domain)
    expected = ndimage.convolve(x.numpy(), random_psf(ky, kx).numpy(), mode=SCIPY[boundary])
    torch.testing.assert_close(operator(x), torch.from_numpy(expected))


@given(shape=shapes(), ky=odd, kx=odd)
def test_valid_sees_past_the_edges_of_the_image(shape: tuple[int, ...], ky: int, kx: int) -> None:
    from scipy import signal

    operator = Convolution(random_psf(ky, kx), shape, "valid")
    assert operator.domain.shape == (shape[0] + ky - 1, shape[1] + kx - 1)
    scene = random_element(operator.domain)
    expected = signal.convolve2d(scene.numpy(), random_psf(ky, kx).numpy(), mode="valid")
    torch.testing.assert_close(operator(scene), torch.from_numpy(expected))


@given(shape=shapes(), boundary=st.sampled_from(["reflect", "valid", "circular"]))
def test_a_flat_sky_stays_flat(shape: tuple[int, ...], boundary: Boundary) -> None:
    psf = random_psf(5, 3).abs()
    operator = Convolution(psf / psf.sum(), shape, boundary)
    flat = torch.ones(operator.domain.shape, dtype=torch.float64)
    torch.testing.assert_close(operator(flat), torch.ones(shape, dtype=torch.float64))


def test_each_channel_has_its_own_psf() -> None:
    psf = random_psf(3, 5, 3)
    operator = Convolution(psf, (3, 8, 9))
    x = random_element(operator.domain, (2,))
    each = [Convolution(psf[c], (8, 9))(x[:, c]) for c in range(3)]
    torch.testing.assert_close(operator(x), torch.stack(each, dim=1))
    assert_laws(Convolution(psf, (3, 11, 6)))


def test_a_point_shows_the_psf() -> None:
    psf = random_psf(5, 7)
    point = torch.zeros(9, 11, dtype=torch.float64)
    point[4, 5] = 1
    image = Convolution(psf, (9, 11))(point)
    torch.testing.assert_close(image[2:7, 2:9], psf)


@given(n=st.integers(1, 4000))
def test_fast_lengths_have_small_factors(n: int) -> None:
    from scipy import fft

    length = fast_length(n)
    assert length >= n and length % 2 == 0
    assert fft.next_fast_len(length, real=True) == length


@pytest.mark.parametrize(
    ("psf", "error", "repair"),
    [
        (torch.ones(4, 5), ShapeError, "resample it to an odd size"),
        (torch.ones(5), ShapeError, "two spatial axes"),
        (torch.ones(2, 3, 3), ShapeError, "one per channel"),
        (torch.full((3, 3), torch.nan), DataError, "unknown pixels to 0"),
        (torch.zeros(3, 3), DataError, "zero everywhere"),
        (torch.stack([torch.ones(3, 3), torch.zeros(3, 3)])[:, None], DataError, "zero everywhere"),
        (torch.ones(3, 3, dtype=torch.int64), DataError, "torch.float32"),
    ],
)
def test_refuses_bad_psfs(psf: torch.Tensor, error: type[Exception], repair: str) -> None:
    with pytest.raises(error, match=repair):
        Convolution(psf, (3, 8, 8))


def test_refuses_unknown_boundaries() -> None:
    with pytest.raises(OptionError, match="zero, reflect, valid, circular"):
        Convolution(torch.ones(3, 3), (8, 8), "mirror")  # type: ignore[arg-type]
