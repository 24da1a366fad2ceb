"""Laws of plug-and-play: limits that are known, scaling, and what is refused."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.operators.resampling import Bicubic
from rimaging.operators.sampling import Sampling
from rimaging.operators.target import gaussian_psf
from rimaging.solvers.plug_and_play import plug_and_play


def nothing(x: Tensor, sigma: Tensor) -> Tensor:
    return x


def smooth(x: Tensor, sigma: Tensor) -> Tensor:
    """A crude denoiser: a mean over 3 x 3."""
    flat = x.reshape(-1, 1, *x.shape[-2:])
    padded = torch.nn.functional.pad(flat, (1, 1, 1, 1), mode="replicate")
    return torch.nn.functional.avg_pool2d(padded, 3, stride=1).reshape(x.shape)


def scene(size: int = 24) -> Tensor:
    axis = torch.linspace(-1, 1, size)
    return torch.exp(-3 * (axis[:, None] ** 2 + axis**2))


def noisy(operator: torch.nn.Module, sigma: float) -> Gaussian:
    clean = operator(scene())
    generator = torch.Generator().manual_seed(0)
    return Gaussian(operator, clean + sigma * torch.randn(clean.shape, generator=generator), sigma)  # type: ignore[arg-type]


def test_without_a_prior_the_data_are_fitted() -> None:
    likelihood = noisy(Identity((24, 24)), 0.05)
    x = plug_and_play(likelihood, nothing, span=1.0)[-1]
    assert torch.allclose(x, likelihood.y, atol=1e-3)


def test_the_levels_fall_to_the_noise() -> None:
    seen: list[float] = []

    def listen(x: Tensor, sigma: Tensor) -> Tensor:
        seen.append(float(sigma))
        return x

    plug_and_play(noisy(Identity((24, 24)), 0.01), listen, span=2.0, steps=5)
    assert seen[0] == pytest.approx(2 * 49 / 255) and seen[-1] == pytest.approx(0.01)
    ratios = [b / a for a, b in itertools.pairwise(seen)]
    assert ratios == pytest.approx([ratios[0]] * 4)


@pytest.mark.parametrize(
    "operator",
    [
        Convolution(gaussian_psf(2.5), (24, 24), "reflect"),
        Bicubic((24, 24), 2),
        Sampling((torch.rand(24, 24, generator=torch.Generator().manual_seed(1)) > 0.3).float()),
    ],
    ids=["blur", "upscale", "inpainting"],
)
def test_a_denoiser_improves_on_least_squares(operator: torch.nn.Module) -> None:
    likelihood = noisy(operator, 0.05)
    plain = plug_and_play(likelihood, nothing, span=1.0)[-1]
    better = plug_and_play(likelihood, smooth, span=1.0)[-1]
    assert (better - scene()).norm() < 0.7 * (plain - scene()).norm()


def test_scaling_the_data_scales_the_answer() -> None:
    blur = Convolution(gaussian_psf(2.5), (24, 24), "reflect")
    likelihood = noisy(blur, 0.05)
    x = plug_and_play(likelihood, smooth, span=1.0)[-1]
    scaled = Gaussian(blur, 1024 * likelihood.y, 1024 * 0.05)
    assert torch.allclose(
        plug_and_play(scaled, smooth, span=1024.0)[-1], 1024 * x, rtol=1e-4, atol=0.02
    )


def test_items_of_a_batch_do_not_see_each_other() -> None:
    blur = Convolution(gaussian_psf(2.5), (24, 24), "reflect")
    y = torch.stack([noisy(blur, 0.05).y, noisy(blur, 0.1).y])
    sigma = torch.tensor([0.05, 0.1])[:, None, None]
    both = plug_and_play(Gaussian(blur, y, sigma), smooth, span=1.0)[-1]
    for item in range(2):
        alone = Gaussian(blur, y[item], float(sigma[item]))
        assert torch.allclose(both[item], plug_and_play(alone, smooth, span=1.0)[-1], atol=1e-4)


def test_what_cannot_be_is_refused() -> None:
    likelihood = noisy(Identity((24, 24)), 0.05)
    with pytest.raises(OptionError, match="steps"):
        plug_and_play(likelihood, nothing, span=1.0, steps=0)
    with pytest.raises(OptionError, match="lamda"):
        plug_and_play(likelihood, nothing, span=1.0, lamda=0.0)
    with pytest.raises(DataError, match="one value everywhere"):
        plug_and_play(likelihood, nothing, span=0.0)
    maps = torch.ones(1, 8, 8, dtype=torch.complex64)
    scan = Gaussian(CartesianMRI(maps), maps, 0.1)
    with pytest.raises(DataError, match="real images"):
        plug_and_play(scan, nothing, span=1.0)
