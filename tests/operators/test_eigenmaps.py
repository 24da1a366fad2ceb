"""Interpolated eigenvectors equal the exact ones, within the tolerance, wherever they are asked."""

from __future__ import annotations

import pytest
import torch

from rimaging.operators.band_limited import BandLimitedField, pixels
from rimaging.operators.eigenmaps import eigenmaps

IMAGE = (75, 92)


def make_field(size=5, rank=6, kernel=3, seed=0):
    """G = K K^H of random kernels, scaled so that eigenvalues lie in 0..1; eigenvalues meet."""
    generator = torch.Generator().manual_seed(seed)
    kernels = torch.randn(rank, size, kernel, kernel, dtype=torch.complex128, generator=generator)
    spectrum = torch.fft.fft2(kernels, s=(2 * kernel - 1,) * 2).permute(2, 3, 1, 0)
    lags = torch.fft.fftshift(torch.fft.ifft2(spectrum @ spectrum.mH, dim=(0, 1)), dim=(0, 1))
    field = BandLimitedField(lags, IMAGE)
    largest = torch.linalg.eigvalsh(field(*pixels(torch.arange(75), torch.arange(92)))).max()
    return BandLimitedField(lags / largest, IMAGE)


@pytest.mark.parametrize("tolerance", [0.0, 1e-3, 1e-4])
@pytest.mark.parametrize("sets", [1, 2])
def test_equals_the_decomposition_of_every_pixel(sets, tolerance):
    field = make_field()
    exact, basis = torch.linalg.eigh(field(*pixels(torch.arange(75), torch.arange(92))))
    maps, values = eigenmaps(field, sets, 0.0, tolerance)
    assert maps.shape == (sets, 5, *IMAGE)
    for one in range(sets):
        true = basis[..., -1 - one]
        found = torch.nn.functional.normalize(maps[one].flatten(1).mT, dim=-1)
        error = torch.linalg.vector_norm(
            found - true * torch.linalg.vecdot(true, found)[:, None], dim=-1
        )
        assert error.max() < 3 * tolerance + 1e-10  # the tolerance holds for an estimate
        assert (values[one].flatten() - exact[:, -1 - one]).abs().max() < tolerance + 1e-12


@pytest.mark.parametrize("size", [1, 2, 3])
def test_few_coils(size):
    field = make_field(size=size)
    exact = torch.linalg.eigvalsh(field(*pixels(torch.arange(75), torch.arange(92))))[..., -1]
    maps, values = eigenmaps(field, 1, 0.0, 1e-4)
    assert maps.shape == (1, size, *IMAGE)
    assert (values[0].flatten() - exact).abs().max() < 1e-3


def test_below_the_floor_nothing_need_be_right_and_above_it_all_is():
    field = make_field(seed=3)
    exact = torch.linalg.eigvalsh(field(*pixels(torch.arange(75), torch.arange(92))))[..., -1]
    _, values = eigenmaps(field, 1, 0.6, 1e-4)
    difference = (values[0].flatten() - exact).abs()
    assert difference[exact > 0.6].max() < 5e-4
    assert ((values[0].flatten() > 0.6) == (exact > 0.6))[(exact - 0.6).abs() > 5e-4].all()


@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_a_field_of_rank_one_has_no_second_direction_and_no_nan(scale):
    # several bumps seen by coils that differ by a factor alone: eigenvalues meet nowhere but at 0
    generator = torch.Generator().manual_seed(1)
    weights = torch.tensor([1, -1, 1j], dtype=torch.complex64)
    kernel = torch.randn(3, 3, dtype=torch.complex64, generator=generator)
    spectrum = torch.fft.fft2(kernel, s=(5, 5)).abs().square()
    line = torch.fft.fftshift(torch.fft.ifft2(spectrum.to(torch.complex64)))
    lags = line[..., None, None] * torch.outer(weights, weights.conj())
    field = BandLimitedField(lags, IMAGE)
    highest = torch.linalg.eigvalsh(field(*pixels(torch.arange(75), torch.arange(92)))).max()
    field = BandLimitedField(lags * (scale / highest), IMAGE)
    maps, values = eigenmaps(field, 2, 0.0, 1e-4 * scale)
    assert bool(torch.isfinite(maps).all()) and bool(torch.isfinite(values).all())
    bright = values[0].flatten() > 0.1 * scale
    found = torch.nn.functional.normalize(maps[0].flatten(1).mT[bright], dim=-1)
    assert float(((found @ weights.conj()).abs() / 3**0.5 - 1).abs().max()) < 1e-3
