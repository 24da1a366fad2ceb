"""Whitened noise is independent and of unit scale per real component, whatever the coils."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.errors import DataError, ShapeError
from rimaging.operators.fourier import centred_ifft
from rimaging.operators.whitening import noise_covariance, whiten, whitening_matrix


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.complex128)


def coupled(coils: int, samples: int, seed: int = 0) -> torch.Tensor:
    """Noise of coils of different gain that hear each other; sigma = 1 before the coupling."""
    gain = torch.logspace(-3, 3, coils, dtype=torch.float64)
    mixing = torch.eye(coils, dtype=torch.complex128) + 0.3 * draw(coils, coils, seed=seed)
    # torch's complex normal numbers have unit variance: half of it in each component
    return gain[:, None] * (mixing @ (2**0.5 * draw(coils, samples, seed=seed + 1)))


def test_the_diagonal_is_the_variance_of_one_real_component():
    covariance = noise_covariance(3 * 2**0.5 * draw(4, 100_000))
    assert torch.allclose(covariance.diagonal().real, torch.full((4,), 9.0).double(), rtol=0.02)
    assert torch.equal(covariance, covariance.mH)


@given(coils=st.integers(1, 12), seed=st.integers(0, 99))
def test_noise_of_the_scan_itself_becomes_exactly_white(coils, seed):
    samples = coupled(coils, 64, seed)
    white = whiten(samples, whitening_matrix(noise_covariance(samples)), axis=0)
    own = noise_covariance(white)
    assert (own - torch.eye(coils)).norm() <= 1e-10 * coils


def test_other_noise_of_the_same_coils_becomes_white():
    noise = coupled(6, 60_000)
    matrix = whitening_matrix(noise_covariance(noise[:, :30_000]))
    white = whiten(noise[:, 30_000:].reshape(6, 100, 300), matrix)
    assert float(white.real.std()) == pytest.approx(1, rel=0.02)
    assert float(white.imag.std()) == pytest.approx(1, rel=0.02)
    assert (noise_covariance(white.flatten(1)) - torch.eye(6)).abs().max() < 0.03


def test_whitening_commutes_with_the_fourier_transform_and_keeps_batch_and_dtype():
    kspace = draw(2, 3, 5, 8, 7).to(torch.complex64)
    matrix = whitening_matrix(noise_covariance(coupled(5, 50)))
    white = whiten(kspace, matrix)
    assert white.shape == kspace.shape and white.dtype == torch.complex64
    assert torch.allclose(whiten(centred_ifft(kspace), matrix), centred_ifft(white), rtol=1e-4)
    assert torch.allclose(whiten(kspace.movedim(-3, 1), matrix, axis=1), white.movedim(-3, 1))
    first = (kspace[:, :, 0] * matrix[0, 0]).to(torch.complex64)
    assert torch.allclose(white[:, :, 0], first)


REFUSED = {
    "one axis": (ShapeError, lambda: noise_covariance(draw(9))),
    "coils last": (DataError, lambda: noise_covariance(draw(100, 4))),
    "real": (DataError, lambda: noise_covariance(draw(2, 9).real)),
    "NaN": (DataError, lambda: noise_covariance(draw(2, 9) * torch.nan)),
    "not square": (ShapeError, lambda: whitening_matrix(draw(2, 3))),
    "not Hermitian": (DataError, lambda: whitening_matrix(draw(3, 3).abs() + 0j)),
    "a dead coil": (
        DataError,
        lambda: whitening_matrix(torch.diag(torch.tensor([1.0, 0.0])).to(torch.complex128)),
    ),
    "a coil twice": (
        DataError,
        lambda: whitening_matrix(noise_covariance(draw(2, 50)[[0, 1, 0]])),
    ),
    "other coils": (ShapeError, lambda: whiten(draw(4, 8, 8), torch.eye(3) + 0j)),
    "no such axis": (ShapeError, lambda: whiten(draw(4, 8), torch.eye(4) + 0j)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_whitened_is_refused(case):
    kind, call = REFUSED[case]
    with pytest.raises(kind):
        call()
