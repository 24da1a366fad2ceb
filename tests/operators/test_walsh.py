"""Walsh maps are the sensitivities where coil images are locally of rank one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from rimaging.datasets.npz import load_arrays
from rimaging.datasets.simulate.coils import coil_profiles, normalise
from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.coils import combine_coils, root_sum_of_squares
from rimaging.operators.fourier import centred_fft, centred_ifft
from rimaging.operators.walsh import hann, walsh, walsh_from_kspace

SIZE = 48


def maps(coils: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return normalise(coil_profiles(generator, coils, SIZE))[0].to(torch.complex128)


def image() -> Tensor:
    axis = torch.linspace(-1, 1, SIZE, dtype=torch.float64)
    return (1 + axis[:, None] * axis) * torch.exp(2j * axis)


def alike(found: Tensor, true: Tensor) -> float:
    """Least over pixels of ``|<S, S'>|``: 1 where both are the same but for a phase."""
    return float((found.conj() * true).sum(dim=-3).abs().min())


def test_the_true_maps_are_found_up_to_a_phase():
    true = maps()
    found = walsh(true * image(), window=3)
    assert torch.allclose(root_sum_of_squares(found), torch.ones(SIZE, SIZE).double())
    assert alike(found, true) > 0.99
    constant = true[:, :1, :1].expand(-1, SIZE, SIZE) * image()  # exactly of rank one
    # the lengths of the true maps are of single precision
    assert alike(walsh(constant), true[:, :1, :1].expand(-1, SIZE, SIZE)) > 1 - 1e-6


def test_scale_and_batch():
    coils = torch.stack([maps() * image(), maps() * image().conj()])
    both = walsh(coils)
    assert torch.allclose(walsh(1e-6 * coils[1]), both[1], atol=1e-8)


def test_combining_gives_the_root_sum_of_squares():
    coils = maps() * image()
    combined = combine_coils(walsh(coils, window=3), coils, False, 2)
    assert torch.allclose(combined.abs(), root_sum_of_squares(coils), rtol=0.02)


def test_maps_from_the_centre_of_kspace():
    kspace = centred_fft(maps() * image() * hann(SIZE, image())[:, None] * hann(SIZE, image()))
    mask = torch.zeros(SIZE, SIZE)
    mask[:, ::4] = 1
    mask[:, SIZE // 2 - 10 : SIZE // 2 + 10] = 1
    found = walsh_from_kspace(kspace * mask, mask)[:, 8:-8, 8:-8]
    assert alike(found, maps()[:, 8:-8, 8:-8]) > 0.98


def test_a_real_brain(data_root: Path):
    path = data_root / "mri/multicoil/brain_8ch_poisson_sigpy.npz"
    kspace = torch.from_numpy(load_arrays(path)["ksp"].copy())[:, 87:143, 67:113]
    mask = (kspace != 0).any(dim=0)
    found = walsh_from_kspace(kspace, mask)
    coils = centred_ifft(kspace)
    kept = combine_coils(found, coils, False, 2).norm() / coils.norm()
    assert 0.8 < float(kept) <= 1


def test_what_cannot_be_used_is_refused():
    with pytest.raises(ShapeError):
        walsh(image())
    with pytest.raises(DataError):
        walsh(maps().abs())
    with pytest.raises(OptionError):
        walsh(maps(), window=4)
