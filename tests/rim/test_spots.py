"""The shape of the brightest spot: that of a Gaussian, its gradient, and what has none."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rimaging.reports.galaxies import adaptive_moments
from rimaging.rim.loss import loss
from rimaging.rim.spots import brightest_spots, shape_error


def gaussian(g1: float, g2: float, width: float = 3.0, x: float = 40.2, y: float = 35.1) -> Tensor:
    rows, columns = torch.arange(72.0)[:, None] - y, torch.arange(80.0)[None, :] - x
    u, v = (1 - g1) * columns - g2 * rows, (1 + g1) * rows - g2 * columns
    return torch.exp(-(u**2 + v**2) / (2 * width**2 * (1 - g1**2 - g2**2)))


@pytest.mark.parametrize(("g1", "g2"), [(0.0, 0.0), (0.2, 0.1), (-0.3, 0.25)])
def test_the_weight_is_that_of_adaptive_moments(g1: float, g2: float) -> None:
    image = 7 * gaussian(g1, g2)
    spots = brightest_spots(image[None])
    assert bool(spots.found)
    moments = adaptive_moments(image)
    g = torch.hypot(moments.g1, moments.g2)
    distortion = 2 * g / (1 + g**2)  # of second moments, where g is of axes
    assert float(spots.shape.norm()) == pytest.approx(float(distortion), abs=0.02)
    angle = math.atan2(float(spots.shape[0, 1]), float(spots.shape[0, 0]))
    if g1 or g2:
        assert angle == pytest.approx(math.atan2(float(moments.g2), float(moments.g1)), abs=0.02)


def test_the_error_is_of_the_shape_alone_and_grows_with_it() -> None:
    truth = gaussian(0.3, 0)[None]
    spots = brightest_spots(truth)
    assert float(shape_error(truth, spots)) == pytest.approx(0, abs=1e-5)
    assert float(shape_error(3 * truth, spots)) == pytest.approx(0, abs=1e-5)
    errors = [float(shape_error(gaussian(g, 0)[None], spots)) for g in (0.2, 0.1, 0.0, -0.2)]
    assert errors == sorted(errors) and errors[0] > 0.01
    assert math.isfinite(float(shape_error(0 * truth, spots)))


def test_an_empty_image_has_no_shape_and_no_gradient() -> None:
    estimate = torch.rand(1, 72, 80, requires_grad=True)
    shape_error(estimate, brightest_spots(torch.zeros(1, 72, 80))).sum().backward()
    assert torch.equal(estimate.grad, torch.zeros_like(estimate))


def test_a_loss_with_shapes_turns_a_round_spot_towards_its_truth() -> None:
    truth = gaussian(0.3, 0)[None]
    estimate = gaussian(0.0, 0)[None].requires_grad_()
    scale = torch.full((1, 1, 1), 0.1)
    plain, with_shapes = (
        loss([estimate], truth, scale, 2, 0.0, 0.01, shapes=weight) for weight in (0.0, 4.0)
    )
    assert with_shapes > plain
    (with_shapes - plain).backward()
    spots = brightest_spots(truth)
    with torch.no_grad():
        moved = estimate - 1e-3 * estimate.grad / estimate.grad.abs().max()
    assert shape_error(moved, spots) < shape_error(estimate, spots)
