"""POCS: measured samples stay, an image of smooth phase is restored, a real brain sharpened."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from rimaging.benchmark.scans import BRAIN, measured_columns
from rimaging.datasets.npz import load_arrays
from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.fourier import centred_fft
from rimaging.solvers.pocs import fill_partial_fourier, pocs
from rimaging.solvers.zero_filled import zero_filled

SIZE = 48


def scan(phase: float = 1.0) -> Tensor:
    """Positive blocks of slowly varying phase, two coils."""
    generator = torch.Generator().manual_seed(0)
    blocks = torch.rand(12, 12, generator=generator, dtype=torch.float64)
    image = blocks.repeat_interleave(4, 0).repeat_interleave(4, 1)
    axis = torch.linspace(-1, 1, SIZE, dtype=torch.float64)
    image = image * torch.exp(1j * phase * (torch.cos(torch.pi * axis[:, None]) + axis**2))
    return centred_fft(torch.stack([image, 0.5j * image.conj()]))


def partial(share: float, axis: int = 1, odd: bool = False) -> Tensor:
    size = SIZE - odd
    mask = torch.zeros(size, size)
    kept = round(share * size)
    mask.movedim(axis, 0)[size - kept :] = 1
    return mask


def error(image: Tensor, truth: Tensor) -> float:
    return float((image - truth).norm() / truth.norm())


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("share", [0.625, 0.75])
def test_the_missing_side_comes_back(axis: int, share: float) -> None:
    full, mask = scan(), partial(share, axis)
    filled = fill_partial_fourier(full * mask, mask)
    assert torch.equal(filled * mask, full * mask)
    truth = zero_filled(full, torch.ones(SIZE, SIZE))
    plain = error(zero_filled(full * mask, mask), truth)
    assert error(pocs(full * mask, mask, iterations=20), truth) < 0.5 * plain


def test_a_positive_image_is_restored_almost_exactly() -> None:
    # the one line of an even axis without a mirror image is measured
    full, mask = scan(0.0), partial(0.75)
    mask[:, 0] = 0
    filled = fill_partial_fourier(full * mask, mask, iterations=100)
    assert error(filled[..., 1:], full[..., 1:]) < 0.02


def test_all_measured_stays_and_lower_resolution_stays_empty() -> None:
    full = scan()
    ones = torch.ones(SIZE, SIZE)
    assert torch.equal(fill_partial_fourier(full, ones), full)
    mask = partial(0.75)
    mask[:, 40:] = 0  # measured to +15, so nothing is claimed beyond -15
    filled = fill_partial_fourier(full * mask, mask)
    assert not filled[..., 40:].any() and not filled[..., : 24 - 15].any()
    assert filled[..., 24 - 15].abs().max() > 0


def test_scales_with_the_data_and_takes_a_batch() -> None:
    full, mask = scan(), partial(0.7)
    once = fill_partial_fourier(full * mask, mask)
    both = fill_partial_fourier(torch.stack([full, 1e6 * full]) * mask, mask)
    assert torch.allclose(both[0], once)
    assert torch.allclose(both[1], 1e6 * once, rtol=1e-9, atol=1e-3)


def test_a_real_brain_is_nearer_to_the_full_scan(data_root: Path) -> None:
    full = measured_columns(torch.from_numpy(load_arrays(data_root / BRAIN)["ksp"].copy()))
    size = (full.shape[-2], full.shape[-1])
    mask = torch.zeros(size)
    mask[: round(0.625 * size[0])] = 1
    truth = zero_filled(full, torch.ones(size))
    plain = error(zero_filled(full * mask, mask), truth)
    assert error(pocs(full * mask, mask), truth) < 0.85 * plain


def test_what_is_not_partial_fourier_is_refused() -> None:
    full = scan()
    gaps = torch.ones(SIZE, SIZE)
    gaps[:, ::3] = 0
    with pytest.raises(DataError, match="GRAPPA"):
        pocs(full * gaps, gaps)
    scattered = torch.ones(SIZE, SIZE)
    scattered[3, 3] = 0
    with pytest.raises(DataError, match="rectangle"):
        pocs(full * scattered, scattered)
    with pytest.raises(DataError, match="zero frequency"):
        pocs(full * partial(0.4), partial(0.4))
    with pytest.raises(OptionError):
        pocs(full, partial(0.7), iterations=0)
    with pytest.raises(ShapeError):
        pocs(full, torch.ones(SIZE, 3))
