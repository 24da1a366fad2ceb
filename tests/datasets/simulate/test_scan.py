"""Laws of simulated scans: folding keeps what is inside, the truth is a full scan's."""

import pytest
import torch

from rimaging.datasets.simulate.coils import coil_profiles, normalise
from rimaging.datasets.simulate.kspace import KSpace, ellipse
from rimaging.datasets.simulate.scan import fold, folded_side, has_middle, measure
from rimaging.errors import DataError
from rimaging.operators.fourier import Fourier


def test_a_field_of_view_that_is_wide_enough_changes_nothing() -> None:
    image = torch.randn(3, 32, 32, dtype=torch.complex64)
    assert torch.equal(fold(image, 32), image)


def test_folding_is_skipping_lines_of_a_wider_k_space() -> None:
    """Half the field of view is every other line of k-space: the physics of a wrap."""
    image = torch.randn(2, 64, 64, dtype=torch.complex128)
    folded = fold(image, 32)
    wide = Fourier((64, 64), dtype=torch.complex128)(image)[..., :, ::2] * 2**0.5
    narrow = Fourier((64, 32), dtype=torch.complex128).adjoint(wide)
    assert torch.allclose(narrow[:, 16:48], folded, atol=1e-10)


def test_the_truth_is_what_a_full_scan_shows_without_its_noise() -> None:
    """With everything measured, the data say the truth, and their noise beside it."""
    generator = torch.Generator().manual_seed(0)
    maps, _ = normalise(coil_profiles(generator, 4, 48))
    images = (maps * ellipse(generator, 48))[None]
    sigma = torch.full((1, 1, 1, 1), 0.02)
    likelihood, truth = measure(images, torch.ones(1, 48, 48), sigma, 1, 2 * sigma, generator)
    rest = torch.view_as_real(likelihood.operator.adjoint(likelihood.y) - truth)[truth != 0]
    assert float(rest.square().mean().sqrt()) == pytest.approx(0.02, rel=0.05)
    assert float(likelihood.noise_scale) == pytest.approx(0.04)


def test_a_narrow_middle_gives_many_coils_no_maps() -> None:
    """25 patches of 10 x 10 samples span too little of 16 coils' 576 dimensions."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(1, 16, 48, 48, generator=generator, dtype=torch.complex64)
    mask = torch.zeros(1, 48, 48)
    mask[:, 19:29, 19:29] = 1
    sigma = torch.full((1, 1, 1, 1), 1e-3)
    with pytest.raises(DataError, match="next to nothing"):
        measure(images, mask, sigma, 1, sigma, generator)


def test_a_middle_is_ten_wide() -> None:
    mask = torch.zeros(48, 48)
    mask[20:29, 20:29] = 1
    assert not has_middle(mask)
    mask[19:29, 19:29] = 1
    assert has_middle(mask)


def test_folded_objects_are_wider() -> None:
    generator = torch.Generator().manual_seed(0)
    assert all(67 <= folded_side(64, generator) <= 91 for _ in range(50))


@pytest.mark.parametrize("folded", [0.0, 1.0])
def test_scans_for_training(data_root, folded: float) -> None:
    sampler = KSpace(
        {"coils": 4, "estimated": 1, "folded": folded, "pool": 2, "sigma_error": 0.2}, data_root
    )
    likelihood, truth = sampler(torch.Generator().manual_seed(1), 2, 64)
    again, same = sampler(torch.Generator().manual_seed(1), 2, 64)
    assert torch.equal(truth, same) and torch.equal(likelihood.y, again.y)
    assert tuple(truth.shape) == ((2, 2, 64, 64) if folded else (2, 64, 64))
    mask = likelihood.operator.mask.expand_as(likelihood.y)
    assert (likelihood.y[mask == 0] == 0).all()
