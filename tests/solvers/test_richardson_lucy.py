"""Richardson-Lucy keeps its laws, and is scikit-image's away from the edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.convolution import Convolution
from rimaging.solvers.richardson_lucy import richardson_lucy, richardson_lucy_snapshots


def gaussian(radius: int, width: float, shift: float = 0.0) -> Tensor:
    u = torch.arange(-radius, radius + 1, dtype=torch.float64)
    psf = torch.exp(-0.5 * ((u[:, None] - shift) ** 2 + u**2) / width**2)
    return psf / psf.sum()


def sky(*shape: int) -> Tensor:
    return (
        1
        + 20
        * torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) ** 4
    )


def test_equals_scikit_image_away_from_the_edges() -> None:
    from skimage.restoration import richardson_lucy as theirs

    psf, image = gaussian(2, 1.0, shift=0.7), sky(60, 50)
    ours = richardson_lucy(image, psf, iterations=4, boundary="zero")
    expected = theirs(image.numpy(), psf.numpy(), num_iter=4, clip=False)
    # scikit-image leaves out A* w, which is one but within a radius of an edge; each iteration
    # carries that twice a radius inwards.
    inner = (slice(18, -18), slice(18, -18))
    np.testing.assert_allclose(ours.numpy()[inner], expected[inner], rtol=1e-9)
    assert not np.allclose(ours.numpy()[0], expected[0], rtol=1e-2)


@pytest.mark.parametrize("boundary", ["zero", "reflect", "valid", "circular"])
def test_keeps_the_flux_and_positivity_and_climbs_the_likelihood(boundary: str) -> None:
    psf, image = gaussian(2, 1.0), sky(24, 31)
    image[3, 4] = -5.0  # noise below a subtracted sky
    counts = [1, 2, 5, 20]
    path = richardson_lucy_snapshots(image, psf, counts, boundary=boundary)
    assert (path >= 0).all()
    if boundary == "valid":
        return  # what was cut off belongs to the sum
    operator = Convolution(psf, image.shape, boundary)
    y = image.clamp_min(0)
    torch.testing.assert_close(
        operator.forward(path).sum(dim=(-2, -1)), y.sum().expand(4), rtol=1e-6, atol=0
    )
    rate = operator.forward(path)
    likelihood = (y * rate.log() - rate).sum(dim=(-2, -1)).tolist()
    assert likelihood == sorted(likelihood)


def test_a_sky_that_goes_on_beyond_the_edge_stays_flat() -> None:
    psf = gaussian(4, 2.0)
    flat = torch.full((40, 40), 7.0, dtype=torch.float64)
    torch.testing.assert_close(richardson_lucy(flat, psf, iterations=30), flat)
    black = richardson_lucy(flat, psf, iterations=30, boundary="zero")
    assert (black - flat).abs().max() > 1  # what a wrong edge would do


def test_recovers_a_blurred_scene_with_its_background() -> None:
    psf = gaussian(3, 1.2)
    truth = torch.zeros(32, 32, dtype=torch.float64)
    truth[10, 12], truth[20, 19], truth[23, 26] = 500.0, 300.0, 200.0
    image = Convolution(psf, truth.shape).forward(truth) + 10
    found = richardson_lucy(image, psf, iterations=500, background=10.0)
    without = richardson_lucy(image, psf, iterations=500)
    assert found.median() < 0.1
    assert without.median() > 9  # the sky, taken for stars
    for y, x in ((10, 12), (20, 19), (23, 26)):
        star = found[y - 1 : y + 2, x - 1 : x + 2].sum()
        assert abs(star - truth[y, x]) < 0.02 * truth[y, x]


def test_pixels_without_weight_do_not_matter() -> None:
    psf, image = gaussian(2, 1.0), sky(30, 30)
    weight = torch.ones_like(image)
    weight[10:13, 15] = 0
    spoiled = image.clone()
    spoiled[10:13, 15] = torch.nan
    once = richardson_lucy(image, psf, iterations=10, weight=weight)
    torch.testing.assert_close(richardson_lucy(spoiled, psf, iterations=10, weight=weight), once)
    assert (richardson_lucy(image, psf, iterations=10) - once).abs().max() > 1e-3


def test_a_batch_is_its_items_each_with_its_psf() -> None:
    psfs = torch.stack([gaussian(2, 0.8), gaussian(2, 1.4)])
    images = torch.stack([sky(20, 26), 100 * sky(20, 26).flip(0)])
    together = richardson_lucy(images, psfs, iterations=8)
    for image, psf, x in zip(images, psfs, together, strict=True):
        torch.testing.assert_close(x, richardson_lucy(image, psf, iterations=8))


def test_snapshots_are_the_runs_that_stop_there() -> None:
    psf, image = gaussian(2, 1.0), sky(20, 20)
    path = richardson_lucy_snapshots(image, psf, [2, 7])
    for count, x in zip((2, 7), path, strict=True):
        assert torch.equal(x, richardson_lucy(image, psf, iterations=count))


def test_single_precision_stays_finite_on_dark_sky() -> None:
    image = torch.zeros(40, 40)
    image[20, 20] = 1e6
    found = richardson_lucy(image, gaussian(6, 1.0).float(), iterations=100)
    assert found.isfinite().all()
    assert (found >= 0).all()
    assert not richardson_lucy(0 * image, gaussian(2, 1.0).float(), iterations=3).isnan().any()


def test_refuses_what_it_cannot_use() -> None:
    psf, image = gaussian(2, 1.0), sky(20, 20)
    with pytest.raises(OptionError, match="rising"):
        richardson_lucy_snapshots(image, psf, [3, 3])
    with pytest.raises(OptionError, match="whole"):
        richardson_lucy(image, psf, iterations=2.5)  # type: ignore[arg-type]
    with pytest.raises(OptionError):
        richardson_lucy(image, psf, iterations=0)
    with pytest.raises(DataError, match="NaN"):
        richardson_lucy(image * torch.nan, psf, iterations=1)
    with pytest.raises(DataError, match="negative"):
        richardson_lucy(image, psf, iterations=1, background=-1.0)
    with pytest.raises(DataError, match="nothing was measured"):
        richardson_lucy(image, psf, iterations=1, weight=torch.zeros_like(image))
    with pytest.raises(ShapeError, match="odd"):
        richardson_lucy(image, torch.ones(4, 4, dtype=torch.float64), iterations=1)
