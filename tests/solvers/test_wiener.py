"""Wiener deconvolution equals scikit-image's on the torus and is the best linear estimate."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.convolution import Convolution
from rimaging.solvers.tuning import tune
from rimaging.solvers.wiener import wiener


def gaussian(radius: int, width: float, shift: float = 0.0) -> Tensor:
    u = torch.arange(-radius, radius + 1, dtype=torch.float64)
    psf = torch.exp(-0.5 * ((u[:, None] - shift) ** 2 + u**2) / width**2)
    return psf / psf.sum()


def camera() -> Tensor:
    from skimage import data

    return torch.from_numpy(data.camera()[100:220, 180:310].copy()).double() / 255


def test_equals_scikit_image() -> None:
    from skimage.restoration import wiener as theirs

    image, psf = camera(), gaussian(3, 1.2, shift=0.5)
    delta = np.zeros((3, 3))
    delta[1, 1] = 1
    expected = theirs(image.numpy(), psf.numpy(), 0.02, reg=delta, clip=False)
    ours = wiener(image, psf, 0.02, boundary="circular")
    np.testing.assert_allclose(ours.numpy(), expected, rtol=0, atol=1e-12)


def test_solves_the_normal_equations() -> None:
    image, psf = camera(), gaussian(3, 1.2, shift=0.5)
    blur = Convolution(psf, image.shape, "circular")
    x = wiener(image, psf, 0.03, boundary="circular")
    torch.testing.assert_close(blur.normal(x) + 0.03 * x, blur.adjoint(image))


@pytest.mark.parametrize("size", [(20, 24), (21, 25), (7, 30)])
@pytest.mark.parametrize("slope", [0.0, 2.0])
def test_undoes_a_reflecting_blur(size: tuple[int, int], slope: float) -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(2, *size, dtype=torch.float64, generator=generator)
    psf = gaussian(2, 0.6)  # no zero in its spectrum, and symmetric as a mirror needs
    blurred = Convolution(psf, size, "reflect").forward(truth)
    torch.testing.assert_close(wiener(blurred, psf, 1e-14, slope=slope), truth)


def test_a_matching_prior_beats_the_constant_one_when_both_are_tuned() -> None:
    truth, psf = camera(), gaussian(4, 1.5)
    noise = torch.randn(
        truth.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    blurred = Convolution(psf, truth.shape, "reflect").forward(truth) + 0.02 * noise

    def best(slope: float) -> float:
        def score(ratio: float) -> float:
            return -float((wiener(blurred, psf, ratio, slope=slope) - truth).square().mean())

        found = tune(score, 1e-5, 1e2, grid=10)
        assert found.interior
        return -10 * math.log10(-found.score)

    unrestored = -10 * math.log10(float((blurred - truth).square().mean()))
    assert best(2.0) > best(0.0) + 0.2 > unrestored + 0.2


def test_each_item_has_its_psf_and_ratio() -> None:
    images = torch.stack([camera(), camera().flip(0)])
    psfs, ratios = torch.stack([gaussian(2, 1.0), gaussian(2, 1.5)]), torch.tensor([0.01, 0.1])
    together = wiener(images, psfs, ratios, slope=1.0)
    for image, psf, ratio, x in zip(images, psfs, ratios, together, strict=True):
        torch.testing.assert_close(x, wiener(image, psf, ratio, slope=1.0))


def test_refuses_what_it_cannot_use() -> None:
    image, psf = camera(), gaussian(2, 1.0)
    for bad in (0.0, -1.0, math.nan):
        with pytest.raises(DataError, match="noise_to_signal"):
            wiener(image, psf, bad)
    with pytest.raises(DataError, match="NaN"):
        wiener(image * torch.nan, psf, 0.1)
    with pytest.raises(ShapeError, match="odd"):
        wiener(image, torch.ones(4, 4), 0.1)
    with pytest.raises(OptionError, match="zero"):
        wiener(image, psf, 0.1, boundary="zero")
    with pytest.raises(OptionError, match="slope"):
        wiener(image, psf, 0.1, slope=-1)
