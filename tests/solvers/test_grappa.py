"""GRAPPA: exact where neighbours determine a sample, the formula in numpy, sane on a brain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rimaging.benchmark.scans import BRAIN, measured_columns
from rimaging.datasets.npz import load_arrays
from rimaging.datasets.simulate.masks import equispaced, random_points
from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.fourier import centred_fft
from rimaging.solvers.grappa import fill_kspace, grappa
from rimaging.solvers.zero_filled import of_full_kspace, zero_filled

SIZE = 48


def smooth_maps(coils: int, seed: int = 0) -> Tensor:
    """Maps of a few low frequencies: neighbours determine a sample exactly."""
    generator = torch.Generator().manual_seed(seed)
    narrow = torch.zeros(coils, SIZE, SIZE, dtype=torch.complex128)
    middle = slice(SIZE // 2 - 1, SIZE // 2 + 2)
    narrow[:, middle, middle] = torch.randn(
        coils, 3, 3, generator=generator, dtype=torch.complex128
    )
    return centred_fft(narrow)


def white_disc(seed: int) -> Tensor:
    """White noise in a disc."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(SIZE, SIZE, generator=generator, dtype=torch.complex128)
    axis = torch.linspace(-1, 1, SIZE, dtype=torch.float64)
    return image * (torch.hypot(axis[:, None], axis) < 0.7)


def smooth_scan(coils: int = 8) -> Tensor:
    return centred_fft(smooth_maps(coils) * white_disc(9))


def lines(spacing: int, calibration: int = 20) -> Tensor:
    return equispaced(SIZE, spacing, calibration, 1).double().expand(SIZE, SIZE).clone()


def pattern(name: str) -> Tensor:
    if name == "points":
        generator = torch.Generator().manual_seed(1)
        return random_points((SIZE, SIZE), 3, 20, generator, 1.0).double()
    if name == "grid":
        mask = torch.zeros(SIZE, SIZE, dtype=torch.float64)
        mask[::2, ::2] = 1
        mask[14:34, 14:34] = 1
        return mask
    return lines(int(name))


def error(filled: Tensor, full: Tensor) -> float:
    return float((filled - full).norm() / full.norm())


@pytest.mark.parametrize("name", ["2", "3", "4", "5", "6", "grid", "points"])
def test_fills_what_is_missing_and_keeps_what_was_measured(name: str) -> None:
    full, mask = smooth_scan(), pattern(name)
    kspace = full * mask
    filled = fill_kspace(kspace, mask, damping=1e-9)
    assert torch.equal(filled * mask, kspace)
    inside = 1 if name in "23456" else 2
    core = (slice(None), slice(inside, -inside), slice(7, -7))
    assert error(filled[core], full[core]) < 0.6 * error(kspace[core], full[core])


def test_two_fold_lines_are_exact_without_noise() -> None:
    full, mask = smooth_scan(12), lines(2)
    filled = fill_kspace(full * mask, mask, damping=0.0)
    assert error(filled[:, 2:-2, 2:-2], full[:, 2:-2, 2:-2]) < 1e-4


def test_equals_the_formula_in_numpy() -> None:
    """One missing sample, its weights by least squares over the calibration region."""
    full, mask = smooth_scan(3), lines(2, 16)
    damping = 0.1
    filled = fill_kspace(full * mask, mask, damping=damping)
    y, x = 20, 4
    assert not mask[y, x] and mask[y, x - 1] and mask[y, x + 1]
    # rows y-2..y+2, columns x-1 and x+1, of the window five by three
    calibration = full.numpy()[:, :, 16:32]
    near, target, weight = [], [], []
    for row in range(2, SIZE - 2):
        for column in range(1, 15):
            window = calibration[:, row - 2 : row + 3, column - 1 : column + 2]
            near.append(window[:, :, [0, 2]].ravel())
            target.append(window[:, 2, 1])
            weight.append(np.mean(np.abs(window) ** 2) ** -0.5)
    p = np.array(near) * np.array(weight)[:, None]
    t = np.array(target) * np.array(weight)[:, None]
    gram = p.conj().T @ p
    ridge = damping * np.trace(gram).real / len(gram) * np.eye(len(gram))
    weights = np.linalg.solve(gram + ridge, p.conj().T @ t)
    seen = (full * mask).numpy()[:, y - 2 : y + 3, x - 1 : x + 2][:, :, [0, 2]].ravel()
    assert np.allclose(filled[:, y, x].numpy(), seen @ weights, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_scales_with_the_data(factor: float) -> None:
    full, mask = smooth_scan(4), lines(3)
    once = grappa(full * mask, mask)
    scaled = grappa(factor * full * mask, mask)
    assert torch.allclose(scaled, factor * once, rtol=1e-8, atol=1e-10 * factor)


def test_a_batch_is_its_items_each_with_its_mask() -> None:
    full = torch.stack([smooth_scan(4), 2j * smooth_scan(4).flip(-1)])
    mask = torch.stack([lines(2), lines(3)])
    together = fill_kspace(full * mask[:, None], mask)
    for i in range(2):
        assert torch.allclose(together[i], fill_kspace(full[i] * mask[i], mask[i]))


def maps_and_scan(coils: int = 8) -> tuple[Tensor, Tensor]:
    """Maps of two sets and what they see of two images."""
    one, other = smooth_maps(coils, 0), smooth_maps(coils, 1)
    images = torch.stack([white_disc(2), white_disc(3)])
    maps = torch.stack([one, other])
    return maps, centred_fft((maps * images[:, None]).sum(0))


@pytest.mark.parametrize("sets", [False, True])
def test_maps_teach_where_the_centre_was_not_measured(sets: bool) -> None:
    maps, full = maps_and_scan()
    if not sets:
        maps, full = maps[0], centred_fft(maps[0] * white_disc(2))
    mask = torch.zeros(SIZE, SIZE, dtype=torch.float64)
    mask[:, ::2] = 1
    whole = of_full_kspace(full, maps, sets=sets)
    filled = grappa(full * mask, mask, maps, damping=1e-6, sets=sets)
    aliased = of_full_kspace(full * mask, maps, sets=sets)
    assert error(filled, whole) < 0.25 * error(aliased, whole)  # the rest: the rim of k-space


def test_each_item_learns_from_its_own_maps() -> None:
    maps = torch.stack([smooth_maps(4, 0), smooth_maps(4, 1)])
    mask = torch.zeros(SIZE, SIZE, dtype=torch.float64)
    mask[::2] = 1
    kspace = centred_fft(maps * white_disc(2)) * mask
    together = grappa(kspace, mask, maps)
    for i in range(2):
        alone = grappa(kspace[i : i + 1], mask, maps[i : i + 1])[0]
        aliased = of_full_kspace(kspace[i], maps[i])
        assert error(together[i], alone) < 0.1 * error(aliased, alone)
    with pytest.raises(DataError, match=r"not measured|empty|calibration"):
        grappa(kspace, mask)


def test_nothing_missing_nothing_done_and_padding_stays_empty() -> None:
    full = smooth_scan(4)
    assert torch.equal(fill_kspace(full, torch.ones(SIZE, SIZE)), full)
    mask = lines(2)
    mask[:, :9] = 0
    assert not fill_kspace(full * mask, mask)[..., :9].any()


@pytest.mark.parametrize("spacing", [2, 3, 4])
def test_a_real_brain_is_nearer_to_the_full_scan(data_root: Path, spacing: int) -> None:
    full = measured_columns(torch.from_numpy(load_arrays(data_root / BRAIN)["ksp"].copy()))
    full = full[:, 112:208].contiguous()
    size = (full.shape[-2], full.shape[-1])
    mask = equispaced(size[1], spacing, 24).float().expand(size)
    truth = zero_filled(full, torch.ones(size))
    plain = (zero_filled(full * mask, mask) - truth).norm()
    ours = (grappa(full * mask, mask) - truth).norm()
    assert float(ours) < {2: 0.4, 3: 0.5, 4: 0.65}[spacing] * float(plain)


def test_what_cannot_be_filled_is_refused() -> None:
    full = smooth_scan(2)
    with pytest.raises(ShapeError):
        fill_kspace(full, torch.ones(SIZE, SIZE + 1))
    with pytest.raises(OptionError):
        fill_kspace(full, lines(2), damping=-1.0)
    with pytest.raises(DataError, match="calibration"):
        thin = lines(3, 1)
        fill_kspace(full * thin, thin)
