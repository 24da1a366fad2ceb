"""The noise of k-space is found to a few per cent, whatever signal, sampling and scale."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rimaging.benchmark.scans import BRAIN, measured_columns, real_mask
from rimaging.datasets.kspace_noise import LEAST, estimate_coil_noise, estimate_kspace_noise
from rimaging.datasets.npz import load_arrays
from rimaging.datasets.simulate.coils import coil_profiles, normalise
from rimaging.datasets.simulate.masks import random_lines, random_points
from rimaging.errors import DataError
from rimaging.operators.fourier import centred_fft, centred_ifft

SIZE = 128


UNLIKE = torch.tensor([0.5, 2.0, 0.7, 1.4, 1.0, 0.6, 1.8, 1.2])


def noise(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Complex, sigma = 1 per real component."""
    generator = torch.Generator().manual_seed(seed)
    return 2**0.5 * torch.randn(shape, generator=generator, dtype=torch.complex64)


def scene(seed: int) -> Tensor:
    """A disc with sharp edges and a rough texture: k-space holds signal out to its corners."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.linspace(-1, 1, SIZE)
    radius = torch.hypot(axis[:, None], 1.3 * axis)
    blocks = torch.rand(SIZE // 8, SIZE // 8, generator=generator).repeat_interleave(8, 0)
    texture = 1 + 0.3 * blocks.repeat_interleave(8, 1)
    return ((radius < 0.85) * texture).to(torch.complex64)


def scan(coils: int, snr: float, seed: int) -> Tensor:
    """Full k-space of a scene of unit magnitude times snr, with noise of sigma = 1."""
    generator = torch.Generator().manual_seed(seed)
    maps, _ = normalise(coil_profiles(generator, coils, SIZE))
    clean = centred_fft(maps * scene(seed))
    return snr * clean + noise(clean.shape, seed + 100)


def unlike_scan(sigma: Tensor, snr: float, seed: int) -> Tensor:
    """As `scan`, the noise of each coil with a sigma of its own."""
    kspace = scan(len(sigma), snr, seed)
    return kspace + noise(kspace.shape, seed + 100) * (sigma - 1)[:, None, None]


def sampling(name: str, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    if name == "points8":
        return random_points((SIZE, SIZE), 8, 20, generator, 2.0).float()
    if name == "lines4":
        return random_lines(SIZE, 4, 16, generator, 2.0).expand(SIZE, SIZE).float()
    mask = torch.ones(SIZE, SIZE)
    if name == "partial":
        mask[:, : SIZE // 2 - 20] = 0
    return mask


@pytest.mark.parametrize("pattern", ["full", "partial", "lines4", "points8"])
@pytest.mark.parametrize("snr", [8.0, 300.0])
def test_found_within_five_per_cent(pattern: str, snr: float) -> None:
    found = []
    for seed in range(3):
        mask = sampling(pattern, seed)
        found.append(estimate_kspace_noise(scan(8, snr, seed) * mask, mask))
    assert float(torch.tensor(found).median()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("sampling", ["full", "random", "cropped"])
def test_a_single_blob_needs_no_calibration_region(sampling: str) -> None:
    shape = (4, 96, 80)
    y, x = torch.meshgrid(torch.arange(96.0) - 48, torch.arange(80.0) - 40, indexing="ij")
    kspace = noise(shape) + 1000 * torch.exp(-(y**2 + x**2) / 200)
    mask = torch.ones(96, 80)
    if sampling == "random":
        mask = (torch.rand((96, 80), generator=torch.Generator().manual_seed(2)) < 0.3).float()
    elif sampling == "cropped":
        mask[:, :16] = mask[:, -16:] = 0
    assert estimate_kspace_noise(kspace * mask, mask) == pytest.approx(1, rel=0.06)


def test_coils_of_unlike_noise_give_their_root_mean_square() -> None:
    gain = torch.tensor([0.2, 1.0, 5.0, 1.0, 1.0, 0.3, 2.0, 1.0])
    kspace = scan(8, 100.0, 0) * gain[:, None, None]
    expected = float(gain.square().mean().sqrt())
    found = estimate_kspace_noise(kspace, torch.ones(SIZE, SIZE))
    assert found == pytest.approx(expected, rel=0.06)


def test_scales_with_the_data_and_says_the_same_twice() -> None:
    mask = sampling("lines4", 0)
    kspace = scan(4, 200.0, 0) * mask
    once = estimate_kspace_noise(kspace, mask)
    assert estimate_kspace_noise(kspace, mask) == once
    assert estimate_kspace_noise(kspace * 2.0**-30, mask) == pytest.approx(once * 2.0**-30)


def test_a_volume_has_the_noise_of_its_slices() -> None:
    mask = torch.stack([sampling("lines4", i) for i in range(3)])
    kspace = torch.stack([scan(6, 30.0, i) for i in range(3)]) * mask[:, None]
    kspace[1] = 0  # an empty slice
    assert estimate_kspace_noise(kspace, mask) == pytest.approx(1, rel=0.06)


@pytest.mark.parametrize("pattern", ["full", "partial", "lines4", "points8"])
@pytest.mark.parametrize("snr", [8.0, 30.0])
@pytest.mark.parametrize("sigma", [UNLIKE, torch.ones(8)], ids=["unlike", "alike"])
def test_each_coil_has_its_own_noise(sigma: Tensor, snr: float, pattern: str) -> None:
    ratios = []
    for seed in range(3):
        mask = sampling(pattern, seed)
        order = torch.randperm(8, generator=torch.Generator().manual_seed(seed))
        found = estimate_coil_noise(unlike_scan(sigma[order], snr, seed) * mask, mask)
        ratios.append(found.flatten() / sigma[order])
    wrong = torch.stack(ratios).log()
    assert float(wrong.square().mean().sqrt()) < 0.1  # 16 lines, or 20 x 20 points
    assert float(wrong.abs().max()) < 0.25


def test_a_volume_says_the_noise_of_its_coils_better_than_a_slice() -> None:
    mask = torch.stack([sampling("lines4", i) for i in range(8)])
    kspace = torch.stack([unlike_scan(UNLIKE, 30.0, i) for i in range(8)]) * mask[:, None]
    found = estimate_coil_noise(kspace, mask)
    assert found.shape == (8, 1, 1) and found.dtype == torch.float32
    torch.testing.assert_close(found.flatten(), UNLIKE, rtol=0.1, atol=0)
    one = estimate_kspace_noise(kspace, mask)
    assert one == pytest.approx(float(UNLIKE.square().mean().sqrt()), rel=0.06)


@pytest.mark.parametrize("snr", [8.0, 30.0])
def test_noise_of_coils_follows_their_scale_and_order(snr: float) -> None:
    mask = sampling("lines4", 0)
    kspace = unlike_scan(UNLIKE, snr, 0) * mask
    once = estimate_coil_noise(kspace, mask)
    assert torch.equal(estimate_coil_noise(kspace, mask), once)
    scaled = estimate_coil_noise(kspace * 2.0**-30, mask)
    torch.testing.assert_close(scaled, once * 2.0**-30, rtol=1e-5, atol=0)
    gain = UNLIKE.flip(0)[:, None, None]
    torch.testing.assert_close(
        estimate_coil_noise(kspace * gain, mask), once * gain, rtol=1e-3, atol=0
    )
    order = torch.tensor([3, 0, 7, 1, 6, 2, 5, 4])
    ratios = estimate_coil_noise(kspace[order], mask) / once[order]
    torch.testing.assert_close(ratios, ratios.mean().expand(8, 1, 1), rtol=1e-4, atol=0)
    assert float(ratios.mean()) == pytest.approx(1, abs=0.1)  # the level is found with other draws


def test_a_dead_coil_changes_nothing_and_weighs_as_the_others() -> None:
    mask = sampling("lines4", 0)
    kspace = unlike_scan(UNLIKE, 30.0, 0) * mask
    alive = torch.cat([kspace[:3], kspace[4:]])
    dead = kspace.clone()
    dead[3] = 0
    found, others = estimate_coil_noise(dead, mask), estimate_coil_noise(alive, mask)
    assert torch.equal(torch.cat([found[:3], found[4:]]), others)
    mean = others.double().pow(-2).mean()
    assert float(found[3].double().pow(-2)) == pytest.approx(float(mean))
    assert estimate_kspace_noise(dead, mask) == estimate_kspace_noise(alive, mask)
    # in some of the slices only
    both = estimate_coil_noise(torch.stack([kspace, dead]), mask)
    assert torch.equal(both[3], estimate_coil_noise(kspace, mask)[3])


def test_no_coil_takes_all_the_weight() -> None:
    mask = sampling("full", 0)
    kspace = scan(4, 8.0, 0)
    kspace[2] *= 1e-6
    found = estimate_coil_noise(kspace, mask)
    assert float(found[2]) == pytest.approx(LEAST, rel=0.1)
    torch.testing.assert_close(found[[0, 1, 3]].flatten(), torch.ones(3), rtol=0.1, atol=0)


@pytest.mark.parametrize("pattern", ["full", "lines4", "poisson4", "poisson8"])
def test_a_real_brain_has_the_noise_of_its_air(data_root: Path, pattern: str) -> None:
    kspace = measured_columns(torch.from_numpy(load_arrays(data_root / BRAIN)["ksp"].copy()))
    coils = centred_ifft(kspace)
    air = torch.cat([coils[:, :20, :24].flatten(1), coils[:, :20, -24:].flatten(1)], dim=1)
    truth = float((air.abs().square().mean() / 2).sqrt())
    mask = torch.ones(kspace.shape[-2:])
    if pattern != "full":
        mask = real_mask(pattern, (kspace.shape[-2], kspace.shape[-1]))
    assert estimate_kspace_noise(kspace * mask, mask) == pytest.approx(truth, rel=0.1)
    each = (air.abs().square().mean(dim=1) / 2).sqrt()
    ratios = estimate_coil_noise(kspace * mask, mask).flatten() / each
    assert float(ratios.log().square().mean().sqrt()) < 0.15  # they correlate


def test_what_has_no_noise_is_refused() -> None:
    nothing = torch.zeros(1, 8, 8, dtype=torch.complex64)
    for estimate in (estimate_kspace_noise, estimate_coil_noise):
        with pytest.raises(DataError, match="zero everywhere"):
            estimate(nothing, torch.zeros(8, 8))
        with pytest.raises(DataError, match="give noise="):
            estimate(nothing, torch.ones(8, 8))


@pytest.mark.parametrize("constant", [1.0, 1e-12, 1e12])
def test_samples_that_are_all_the_same_are_a_number_not_a_failure(constant: float) -> None:
    kspace = constant * torch.ones(2, 16, 16, dtype=torch.complex64)
    assert math.isfinite(estimate_kspace_noise(kspace, torch.ones(16, 16)) / constant)
