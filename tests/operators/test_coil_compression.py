"""Virtual coils: orthonormal rows, nothing lost that the rank allows, aligned along the readout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rimaging.datasets.npz import load_arrays
from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.coil_compression import (
    compress_kspace,
    compress_maps,
    energy_kept,
    geometric_compression,
    svd_compression,
)
from rimaging.operators.fourier import centred_fft, centred_ifft
from rimaging.operators.whitening import noise_covariance


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.complex128)


def turning(coils: int, size: int) -> Tensor:
    """Coil images of rank 2 at each row, in a plane that turns along y: rank > 2 all in all."""
    angle = torch.linspace(0, 2, size, dtype=torch.float64)
    first = torch.stack([torch.cos(angle * (c + 1)) for c in range(coils)]).to(torch.complex128)
    second = torch.stack([torch.cos(angle * c + c) for c in range(coils)]).to(torch.complex128)
    return first[:, :, None] * draw(size, size, seed=1) + second[:, :, None] * draw(size, size)


@given(coils=st.integers(1, 9), kept=st.integers(1, 9), seed=st.integers(0, 99))
def test_rows_are_orthonormal_and_noise_keeps_its_scale(coils, kept, seed):
    kspace = draw(2, coils, 6, 7, seed=seed)
    kept = min(kept, coils)
    matrix = svd_compression(kspace, kept)
    assert (matrix @ matrix.mH - torch.eye(kept)).norm() <= 1e-10
    for axis in (-2, -1):
        matrices = geometric_compression(kspace, kept, axis)
        assert matrices.shape == (kspace.shape[axis], kept, coils)
        assert (matrices @ matrices.mH - torch.eye(kept)).norm() <= 1e-9


@given(rank=st.integers(1, 4), seed=st.integers(0, 99))
def test_all_is_kept_where_the_rank_allows(rank, seed):
    kspace = torch.einsum("cv,vyx->cyx", draw(6, rank, seed=seed), draw(rank, 9, 8, seed=seed + 1))
    matrix = svd_compression(kspace, rank)
    assert energy_kept(kspace, matrix) == pytest.approx(1, abs=1e-12)
    back = torch.einsum("vc,vyx->cyx", matrix.conj(), compress_kspace(kspace, matrix))
    assert (back - kspace).norm() <= 1e-10 * kspace.norm()


def test_svd_keeps_more_than_any_other_matrix():
    kspace = draw(6, 12, 10) * torch.logspace(0, -2, 6)[:, None, None]
    best = energy_kept(kspace, svd_compression(kspace, 2))
    for seed in range(5):
        other = torch.linalg.qr(draw(6, 2, seed=seed))[0].mH
        assert energy_kept(kspace, other) < best


@pytest.mark.parametrize("axis", [-2, -1])
def test_geometric_keeps_what_turns_along_the_readout(axis):
    images = turning(6, 32)
    kspace = centred_fft(images if axis == -2 else images.mT)
    # neighbours share their samples, so a turning plane is met almost, not exactly
    assert energy_kept(kspace, geometric_compression(kspace, 2, axis), axis) > 0.98
    assert energy_kept(kspace, svd_compression(kspace, 2), axis) < 0.9


def test_alignment_is_smooth():
    kspace = centred_fft(turning(6, 64))
    matrices = geometric_compression(kspace, 2, -2)
    steps = (matrices[1:] - matrices[:-1]).flatten(1).norm(dim=1)
    assert float(steps.max()) < 0.35  # a rotation at random steps by about 2


@pytest.mark.parametrize("axis", [-2, -1])
def test_maps_are_compressed_as_kspace(axis):
    maps, image = draw(5, 8, 12), draw(8, 12, seed=3)
    kspace = centred_fft(maps * image)
    for matrices in (svd_compression(kspace, 3), geometric_compression(kspace, 3, axis)):
        virtual = centred_ifft(compress_kspace(kspace, matrices, axis))
        expected = compress_maps(maps, matrices, axis) * image
        assert (virtual - expected).norm() <= 1e-10 * expected.norm()


def test_white_noise_stays_white():
    noise = 2**0.5 * draw(6, 100, 120)
    matrices = geometric_compression(draw(6, 100, 12, seed=5), 3, -2)
    covariance = noise_covariance(compress_kspace(noise, matrices, -2).flatten(1))
    assert (covariance - torch.eye(3)).abs().max() < 0.05


def test_a_real_brain_in_four_of_eight_coils(data_root: Path):
    path = data_root / "mri/multicoil/brain_8ch_poisson_sigpy.npz"
    kspace = torch.from_numpy(load_arrays(path)["ksp"].copy())
    matrix = svd_compression(kspace, 4)
    assert energy_kept(kspace, matrix) > 0.9
    assert matrix.dtype == kspace.dtype


REFUSED = {
    "too many": (OptionError, lambda: svd_compression(draw(4, 8, 8), 5)),
    "none": (OptionError, lambda: svd_compression(draw(4, 8, 8), 0)),
    "no coil axis": (ShapeError, lambda: svd_compression(draw(8, 8), 1)),
    "empty": (DataError, lambda: svd_compression(0 * draw(4, 8, 8), 1)),
    "another axis": (OptionError, lambda: geometric_compression(draw(4, 8, 8), 2, 0)),
    "other coils": (ShapeError, lambda: compress_kspace(draw(4, 8, 8), draw(2, 5))),
    "another length": (ShapeError, lambda: compress_kspace(draw(4, 8, 8), draw(9, 2, 4))),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case):
    kind, call = REFUSED[case]
    with pytest.raises(kind):
        call()
