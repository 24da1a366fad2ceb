from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.errors import OptionError, ShapeError
from rimaging.operators.fourier import Fourier, centred_fft, centred_ifft
from rimaging.testing import assert_laws, batches, dtypes, random_element, shapes


@given(
    shape=st.one_of(shapes(2), shapes(3, max_size=6)),
    batch=batches(),
    dtype=dtypes(is_complex=True),
)
def test_laws(shape: tuple[int, ...], batch: tuple[int, ...], dtype: torch.dtype) -> None:
    assert_laws(Fourier(shape, ndim=len(shape), dtype=dtype), batch)


@given(shape=shapes(3, max_size=6))
def test_laws_with_a_coil_axis(shape: tuple[int, ...]) -> None:
    assert_laws(Fourier(shape, ndim=2, dtype=torch.complex128))


@given(shape=shapes(2))
def test_is_unitary_and_inverts(shape: tuple[int, ...]) -> None:
    operator = Fourier(shape, dtype=torch.complex128)
    x = random_element(operator.domain)
    torch.testing.assert_close(operator(x).norm(), x.norm())
    torch.testing.assert_close(centred_ifft(centred_fft(x)), x)


@given(shape=shapes(2))
def test_the_origin_is_at_half_the_size(shape: tuple[int, ...]) -> None:
    """A constant image becomes one sample at n // 2, and a sample there a constant image."""
    centre = torch.zeros(shape, dtype=torch.complex128)
    centre[shape[0] // 2, shape[1] // 2] = 1
    flat = torch.full(shape, (shape[0] * shape[1]) ** -0.5, dtype=torch.complex128)
    torch.testing.assert_close(centred_fft(flat), centre)
    torch.testing.assert_close(centred_fft(centre), flat)


def test_equals_sigpy() -> None:
    sigpy = pytest.importorskip("sigpy")
    x = random_element(Fourier((7, 10), dtype=torch.complex128).domain, (3,))
    expected = torch.from_numpy(sigpy.fft(x.numpy(), axes=(-2, -1)))
    torch.testing.assert_close(centred_fft(x), expected)


def test_refuses_what_it_cannot_transform() -> None:
    with pytest.raises(OptionError, match="choose 2 or 3"):
        Fourier((4, 4), ndim=1)
    with pytest.raises(ShapeError, match="at least 3 axes"):
        Fourier((4, 4), ndim=3)
    with pytest.raises(ShapeError, match="complex"):
        Fourier((4, 4))(torch.zeros(4, 4))
