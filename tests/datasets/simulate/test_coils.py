"""Laws of coil maps: normalised, smooth, varied, and errors of the declared size."""

import pytest
import torch

from rimaging.datasets.simulate.coils import coil_profiles, normalise, perturb, refer_to_first


@pytest.mark.parametrize("coils", [4, 8, 16])
def test_maps_are_normalised_and_smooth(coils):
    generator = torch.Generator().manual_seed(coils)
    maps, root = normalise(coil_profiles(generator, coils, 64))
    assert maps.shape == (coils, 64, 64) and maps.dtype == torch.complex64
    assert torch.allclose(maps.abs().square().sum(0), torch.ones(64, 64), atol=1e-5)
    assert (root > 0).all()
    step = torch.maximum(maps.diff(dim=-1).abs().amax(), maps.diff(dim=-2).abs().amax())
    assert float(step) < 0.3


def test_coils_see_different_places():
    maps, _ = normalise(coil_profiles(torch.Generator().manual_seed(0), 8, 64))
    peaks = {int(coil.abs().argmax()) // 8 for coil in maps}
    assert len(peaks) >= 6
    flat = maps.reshape(8, -1)
    values = torch.linalg.eigvalsh(flat @ flat.mH)
    assert float(values[0] / values[-1]) > 1e-5


def test_reference_coil_is_real():
    maps = refer_to_first(normalise(coil_profiles(torch.Generator().manual_seed(2), 6, 32))[0])
    assert float(maps[0].imag.abs().max()) < 1e-6
    assert float(maps[0].real.min()) >= 0


@pytest.mark.parametrize("level", [0.02, 0.1])
def test_errors_have_the_declared_level(level):
    generator = torch.Generator().manual_seed(1)
    maps, _ = normalise(coil_profiles(generator, 8, 64))
    wrong = perturb(maps, generator, level)
    assert torch.allclose(wrong.abs().square().sum(0), torch.ones(64, 64), atol=1e-5)
    error = (wrong - maps).abs().square().sum(0).mean().sqrt()
    # Interpolated knots have a little less than unit variance, complex fields twice that.
    assert 0.7 * level < float(error) < 1.7 * level
