"""Laws of the error that weights tell: scale, place, coverage, and training it alone."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rimaging.errors import OptionError, WeightsError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.operators.target import gaussian_psf
from rimaging.rim.config import RIMConfig
from rimaging.rim.coverage import SHARES, coverage_loss, distances
from rimaging.rim.rim import RIM
from rimaging.rim.training import Trainer
from rimaging.rim.training_config import TrainingConfig

SKY = RIMConfig(
    steps=2,
    fine=6,
    depth=1,
    atrous=True,
    chebyshev=True,
    newton_iterations=2,
    error_features=5,
    error_residual=True,
)
SCAN = RIMConfig(complex=True, steps=2, fine=4, coarse=4, error_features=4)


def lively(config: RIMConfig) -> RIM:
    torch.manual_seed(0)
    rim = RIM(config)
    torch.nn.init.normal_(rim.cell.write.weight, std=0.1)
    return rim.eval().requires_grad_(False)


def sky(side: int, factor: float = 1.0) -> Gaussian:
    g = torch.Generator().manual_seed(1)
    blur = Convolution(gaussian_psf(1.5), (20, side), "zero")
    y = blur(torch.rand(2, 20, side, generator=g)) + 0.1 * torch.randn(2, 20, side, generator=g)
    return Gaussian(blur, factor * y, factor * torch.tensor([0.1, 0.2])[:, None, None])


@pytest.mark.parametrize("exponent", [-30, 4])
def test_it_scales_with_data_and_noise_to_the_last_bit(exponent: int) -> None:
    rim, c = lively(SKY), 2.0**exponent
    one, other = sky(24), sky(24, c)
    error = rim.error(one, rim(one))
    assert torch.equal(c * error, rim.error(other, rim(other)))
    assert error.shape == (2, 2, 20, 24) and bool((error > 0).all())


def test_a_part_with_its_halo_tells_what_the_whole_does() -> None:
    from rimaging.tiles.width import exact_reach

    rim = lively(replace(SKY, steps=1, initial_iterations=1, newton_iterations=1))
    whole = sky(300)
    radius = gaussian_psf(1.5).shape[-1] // 2
    cut = 40
    reach = exact_reach(rim, radius, 1, error=True)
    assert reach < 300 - cut
    part = Gaussian(
        Convolution(gaussian_psf(1.5), (20, cut + reach), "zero"),
        whole.y[..., : cut + reach],
        torch.tensor([0.1, 0.2])[:, None, None],
    )
    found = rim.error(part, rim(part))[..., :cut]
    expected = rim.error(whole, rim(whole))[..., :cut]
    assert torch.allclose(found, expected, rtol=1e-4)
    assert exact_reach(rim, radius, 1) < reach


def test_of_a_complex_image_it_is_one_real_number_for_each_pixel() -> None:
    maps = torch.ones(3, 8, 12, dtype=torch.complex64)
    y = torch.randn(2, 3, 8, 12, dtype=torch.complex64)
    likelihood = Gaussian(CartesianMRI(maps, torch.ones(8, 12)), y, 0.3)
    rim = lively(SCAN)
    error = rim.error(likelihood, rim(likelihood))
    assert error.shape == (1, 2, 8, 12) and error.dtype == torch.float32


def test_the_loss_is_least_for_the_standard_deviation_of_a_normal_error() -> None:
    off = 0.7 * torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    tried = torch.linspace(-0.4, 0.4, 81)
    losses = torch.stack([coverage_loss(math.log(0.7) + shift, off) for shift in tried])
    assert abs(float(tried[losses.argmin()])) < 0.03
    # and no error at all is no infinite loss
    assert torch.isfinite(coverage_loss(torch.zeros(3), torch.zeros(3)))
    assert list(SHARES.values()) == pytest.approx(
        [math.erf(bound / math.sqrt(2)) for bound in SHARES], abs=1e-3
    )


def test_the_residual_goes_back_into_the_middle_of_a_larger_image() -> None:
    blur = Convolution(gaussian_psf(2.0), (16, 18), "valid")
    truth = torch.rand(2, *blur.domain.shape)
    y = torch.rand(2, 16, 18)
    sigma = torch.tensor([0.5, 2.0])[:, None, None]
    likelihood = Gaussian(blur, y, sigma)
    x = torch.rand_like(truth)
    off, with_it = sigma * distances(likelihood, x, truth, True)
    assert torch.allclose(off, x - truth, atol=1e-6)
    margin = blur.domain.shape[0] // 2 - 8
    inner = (..., slice(margin, -margin), slice(margin, -margin))
    assert torch.allclose((with_it - off)[inner], y - blur(x), atol=1e-5)
    assert float((with_it - off).abs().sum()) == pytest.approx(
        float((y - blur(x)).abs().sum()), rel=1e-4
    )
    assert len(distances(likelihood, x, truth, False)) == 1


def test_weights_without_a_head_say_so() -> None:
    likelihood = sky(24)
    rim = lively(replace(SKY, error_features=0, error_residual=False))
    with pytest.raises(OptionError, match="error_map=8"):
        rim.error(likelihood, rim(likelihood))
    with pytest.raises(OptionError, match="add_residual"):
        lively(replace(SKY, error_residual=False)).checked_error_head(residual=True)


def unlike(generator: torch.Generator, batch: int, size: int) -> tuple[Gaussian, Tensor]:
    """Noise of sigma 1 to the left and 4 to the right, on nothing; a scale of its own each."""
    sigma = torch.ones(size, size)
    sigma[:, size // 2 :] = 4.0
    scale = 10 ** torch.randn(batch, 1, 1, generator=generator)
    y = scale * sigma * torch.randn(batch, size, size, generator=generator)
    return Gaussian(Identity((size, size)), y, scale * sigma), torch.zeros(batch, size, size)


ONLY = TrainingConfig(
    iterations=150, batch=4, size=16, warmup=5, learning_rate=2e-2, error_only=True, ema=0.95
)


def test_trained_alone_it_covers_and_all_else_stays(tmp_path: Path) -> None:
    start = lively(RIMConfig(steps=1, fine=4, coarse=4))
    model = replace(start.config, error_features=8)
    run = Trainer(model, ONLY, unlike, lambda rim: 0.0, tmp_path, start=start)
    assert run.run()
    trained = run.ema
    for name, value in start.state_dict().items():
        assert torch.equal(trained.state_dict()[name], value)
    likelihood, truth = unlike(torch.Generator().manual_seed(9), 40, 16)
    with torch.no_grad():
        estimates = trained(likelihood)
        ratio = (estimates[-1] - truth).abs() / trained.error(likelihood, estimates)[0]
    for half in (ratio[..., :6], ratio[..., 10:]):
        for bound, share in SHARES.items():
            assert float((half <= bound).float().mean()) == pytest.approx(share, abs=0.06)
    # a run that was stopped, and one that starts from weights with their head, go on
    again = Trainer(model, ONLY, unlike, lambda rim: 0.0, tmp_path, start=start)
    assert again.iteration == ONLY.iterations
    Trainer(model, ONLY, unlike, lambda rim: 0.0, tmp_path / "b", start=trained)


def test_what_cannot_be_trained_alone_is_refused(tmp_path: Path) -> None:
    plain = RIMConfig(steps=1, fine=4, coarse=4)
    with pytest.raises(OptionError, match="error_features"):
        Trainer(plain, ONLY, unlike, lambda rim: 0.0, tmp_path)
    other = lively(RIMConfig(steps=1, fine=8, coarse=4))
    with pytest.raises(WeightsError, match="expected"):
        model = replace(plain, error_features=8)
        Trainer(model, ONLY, unlike, lambda rim: 0.0, tmp_path, start=other)
