"""ESPIRiT: its laws, the coils it must recover, and equality with sigpy on real data."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.espirit import espirit, espirit_with_eigenvalues


def fft(image):
    axes = (-2, -1)
    return torch.fft.fftshift(
        torch.fft.fft2(torch.fft.ifftshift(image, dim=axes), norm="ortho"), dim=axes
    )


def ifft(kspace):
    axes = (-2, -1)
    return torch.fft.fftshift(
        torch.fft.ifft2(torch.fft.ifftshift(kspace, dim=axes), norm="ortho"), dim=axes
    )


def simulate(coils=6, shape=(110, 96), noise=1e-3, seed=0):
    """An ellipse with texture, seen by smooth coils around it: k-space, coil maps, support."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij")
    support = (y**2 + 1.3 * x**2) < 0.6
    image = support * (1 + 0.4 * torch.rand(shape, generator=generator)) * torch.exp(0.7j * x * y)
    maps = []
    for angle in (torch.arange(coils) * 2 * torch.pi / coils).tolist():
        distance = (y - 1.2 * np.sin(angle)) ** 2 + (x - 1.2 * np.cos(angle)) ** 2
        maps.append(
            torch.exp(-distance / 1.5) * torch.exp(1j * (angle + 0.5 * y - 0.4 * angle * x))
        )
    true = torch.stack(maps)
    true = true / torch.linalg.vector_norm(true, dim=0)
    kspace = fft(true * image)
    noise_scale = noise * kspace.abs().amax()
    kspace = kspace + noise_scale * torch.randn(
        kspace.shape, dtype=kspace.dtype, generator=generator
    )
    return kspace.to(torch.complex64), true, support


def distance(a, b, axis=-3):
    """The distance of unit vectors up to a phase."""
    b = b * torch.linalg.vecdot(b, a, dim=axis).sgn().unsqueeze(axis)
    return torch.linalg.vector_norm(a - b, dim=axis)


@pytest.fixture(scope="module")
def simulated():
    return simulate()


def test_maps_have_unit_length_where_kept_and_are_zero_elsewhere(simulated):
    maps, eigenvalues = espirit_with_eigenvalues(simulated[0])
    energy = maps.abs().square().sum(0)
    kept = eigenvalues > 0.95
    assert 0.3 < kept.float().mean() < 0.9
    assert torch.allclose(energy[kept], torch.ones(()), atol=1e-5)
    assert (energy[~kept] == 0).all()


def test_eigenvalues_lie_between_zero_and_one(simulated):
    _, eigenvalues = espirit_with_eigenvalues(simulated[0], sets=2, tolerance=0)
    assert eigenvalues.min() > -1e-5
    assert eigenvalues.max() < 1 + 1e-5
    assert (eigenvalues[0] >= eigenvalues[1]).all()


def test_recovers_smooth_coils(simulated):
    kspace, true, support = simulated
    maps = espirit(kspace)
    error = distance(maps, true)[support & (maps.abs().sum(0) > 0)]
    assert (maps.abs().sum(0) > 0)[support].float().mean() > 0.99
    assert error.quantile(0.5) < 0.005
    assert error.quantile(0.99) < 0.03


def test_interpolation_keeps_its_tolerance(simulated):
    exact, value = espirit_with_eigenvalues(simulated[0].to(torch.complex128), sets=2, tolerance=0)
    alone = (value[0] > 0.9501) & (value[1] < 0.98 * value[0])
    for tolerance in (1e-3, 1e-4):
        maps = espirit(simulated[0], tolerance=tolerance)
        error = torch.linalg.vector_norm(maps - exact[0], dim=0)[alone]
        assert error.max() < 2 * tolerance


@pytest.mark.parametrize("factor", [3e4, 1e-6, 2 - 5j])
def test_scale_and_phase_of_kspace_do_not_matter(simulated, factor):
    kspace = simulated[0]
    assert torch.allclose(espirit(factor * kspace), espirit(kspace), atol=3e-4)


def test_phase_is_that_of_the_principal_virtual_coil(simulated):
    kspace = simulated[0]
    maps = espirit(kspace)
    block = kspace[:, 55 - 12 : 55 + 12, 48 - 12 : 48 + 12].flatten(1)
    coil = torch.linalg.svd(block, full_matrices=False)[0][:, 0]
    coil = coil * coil[coil.abs().argmax()].conj().sgn()
    seen = torch.einsum("c,cyx->yx", coil.conj(), maps)
    assert seen.imag.abs().max() < 1e-4
    assert seen.real.min() > -1e-5


def test_a_permutation_of_coils_permutes_the_maps(simulated):
    kspace = simulated[0]
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert torch.allclose(espirit(kspace[order]), espirit(kspace)[order], atol=3e-4)


def test_a_batch_equals_its_items(simulated):
    first, second = simulated[0], simulate(seed=5, noise=1e-2)[0]
    second = second.clone()
    second[:, :, ::2] = second[:, :, ::2] * 0  # its calibration region is another one
    second[:, 45:65, 38:58] = first[:, 45:65, 38:58]
    batch = torch.stack([first, second])[:, None]
    for sets in (1, 2):
        together, values = espirit_with_eigenvalues(batch, sets=sets)
        for i, item in enumerate((first, second)):
            maps, value = espirit_with_eigenvalues(item, sets=sets)
            assert torch.equal(together[i, 0], maps)
            assert torch.equal(values[i, 0], value)


def test_undersampling_outside_the_calibration_region_changes_nothing(simulated):
    kspace = simulated[0]
    mask = torch.zeros(kspace.shape[-2:], dtype=torch.bool)
    mask[:, ::3] = True
    mask[55 - 12 : 55 + 12, 48 - 12 : 48 + 12] = True
    full = espirit(kspace)
    assert torch.equal(espirit(kspace * mask), full)
    assert torch.equal(espirit(kspace, mask), full)
    assert torch.equal(espirit(kspace, calibration=(24, 24)), full)


def test_one_coil_sees_everything_with_phase_zero(simulated):
    maps, values = espirit_with_eigenvalues(simulated[0][:1], crop=0.1)
    assert torch.allclose(maps[0].abs(), (values > 0.1).float(), atol=1e-5)
    assert maps.imag.abs().max() < 1e-5


def test_two_sets_explain_a_head_larger_than_the_field_of_view(data_root):
    """Brain data that wrap: one map per coil leaves a residual where two places share a pixel."""
    kspace = centre(load(data_root, "brain_alias_8ch"), (160, 128))
    images = ifft(kspace)

    def left_over(maps):
        seen = torch.einsum("scyx,cyx->syx", maps.conj(), images)
        explained = torch.einsum("scyx,syx->cyx", maps, seen)
        return float((images - explained).abs().square().sum() / images.abs().square().sum())

    one, two = espirit(kspace), espirit(kspace, sets=2)
    assert torch.allclose(distance(one, two[0]), torch.zeros(()), atol=1e-2)
    overlap = torch.einsum("cyx,cyx->yx", two[0].conj(), two[1]).abs()
    assert overlap.max() < 1e-3
    assert left_over(two) < 0.5 * left_over(one[None])


@pytest.mark.parametrize("name", ["brain_8ch_poisson_sigpy", "brain_alias_8ch"])
def test_equals_sigpy_on_real_data(data_root, name):
    """Equal to sigpy.mri.app.EspiritCalib: |difference| < 5e-4 at every pixel, up to its phase.

    In sigpy's phase (first coil real) as well, where that coil sees a tenth of the signal or more.
    Compared where both keep the pixel, and where the second eigenvalue is below 0.88 of the first:
    nearer than that, sigpy's 100 power iterations have not converged (0.88^100 = 3e-6).
    """
    app = pytest.importorskip("sigpy.mri.app")
    shape = (120, 96)  # a coarser image of the same calibration region, for speed
    kspace = centre(load(data_root, name), shape)
    reference, level = (
        torch.from_numpy(array).reshape(-1, *shape)
        for array in app.EspiritCalib(kspace.numpy(), output_eigenvalue=True, show_pbar=False).run()
    )
    maps, values = espirit_with_eigenvalues(kspace, calibration=(24, 24), sets=2)
    kept, theirs = values[0] > 0.95, level[0] > 0.95
    assert (kept != theirs).float().mean() < 1e-3
    compared = kept & theirs & (values[1] < 0.88 * values[0])
    assert compared.float().mean() > 0.5
    assert (values[0] - level[0])[compared].abs().max() < 5e-5
    difference = distance(maps[0], reference)[compared]
    assert difference.max() < 5e-4
    assert difference.median() < 2e-5
    first_coil_real = maps[0] * maps[0, :1].conj().sgn()
    strong = compared & (maps[0, 0].abs() > 0.1)
    assert torch.linalg.vector_norm(first_coil_real - reference, dim=0)[strong].max() < 5e-4


def test_refuses_what_it_cannot_use(simulated):
    kspace = simulated[0]
    with pytest.raises(ShapeError, match=r"complex k-space \(..., coil, y, x\)"):
        espirit(kspace[0])
    with pytest.raises(DataError, match="complex k-space"):
        espirit(kspace.abs())
    with pytest.raises(OptionError, match="sets=2, got 3"):
        espirit(kspace, sets=3)
    with pytest.raises(OptionError, match=r"0\.001, got 0\.1"):
        espirit(kspace, tolerance=0.1)
    with pytest.raises(ShapeError, match="two coils or more"):
        espirit(kspace[:1], sets=2)
    with pytest.raises(ShapeError, match="expects a mask"):
        espirit(kspace, torch.ones(96, 110))
    thin = torch.zeros(110, 96)
    thin[:, 46:50] = 1
    with pytest.raises(DataError, match=r"is \(24, 4\), but kernel=6 needs \(6, 6\)"):
        espirit(kspace * thin)


def centre(kspace, shape):
    top, left = (n // 2 - m // 2 for n, m in zip(kspace.shape[-2:], shape, strict=True))
    return kspace[..., top : top + shape[0], left : left + shape[1]]


def load(data_root, name):
    path = data_root / "mri" / "multicoil" / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"{path.name} is not among the real data")
    with np.load(path) as file:
        return torch.from_numpy(file["ksp"])


def test_coils_that_differ_by_a_factor_alone_have_finite_maps():
    ky, kx = np.mgrid[-48:48, -40:40]
    kspace = 0
    for weight, y, x in [(1, -24, -22), (0.7, 14, 18), (0.4, 29, 0)]:
        spread = np.exp(-8 * np.pi**2 * ((kx / 80) ** 2 + (ky / 96) ** 2))
        kspace = kspace + 1000 * weight * spread * np.exp(-2j * np.pi * (kx * x / 80 + ky * y / 96))
    random = np.random.default_rng(0)
    coils = np.stack([kspace, -kspace, 1j * kspace])
    coils = coils + 0.1 * (random.normal(size=coils.shape) + 1j * random.normal(size=coils.shape))
    maps = espirit(torch.from_numpy(coils.astype(np.complex64)), sets=2)
    assert bool(torch.isfinite(maps).all())
