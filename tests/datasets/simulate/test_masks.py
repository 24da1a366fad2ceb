"""Laws of sampling masks: the declared acceleration, true spacing, a measured centre."""

import pytest
import torch

from rimaging.datasets.simulate.masks import (
    GOLDEN_ANGLE,
    centre_slice,
    equispaced,
    gaussian_lines,
    gaussian_points,
    poisson_disc,
    pooled_poisson_disc,
    radial,
    radius,
    random_lines,
    random_points,
)
from rimaging.errors import OptionError


@pytest.mark.parametrize("size", [96, 127])
@pytest.mark.parametrize("spacing", [2, 3, 5, 8])
def test_equispaced_is_equispaced(size, spacing):
    for offset in range(spacing):
        mask = equispaced(size, spacing, 0, offset)
        lines = mask.nonzero().flatten()
        assert set(lines.diff().tolist()) == {spacing}
        assert int(lines[0]) == offset and int(lines[-1]) >= size - spacing
        with_centre = equispaced(size, spacing, 12, offset)
        assert with_centre[centre_slice(size, 12)].all() and with_centre[mask].all()


@pytest.mark.parametrize("decay", [0.0, 3.0])
@pytest.mark.parametrize("acceleration", [2.0, 3.7, 8.0])
def test_random_masks_meet_their_acceleration_exactly(acceleration, decay):
    generator = torch.Generator().manual_seed(0)
    lines = random_lines(128, acceleration, 8, generator, decay)
    assert int(lines.sum()) == round(128 / acceleration)
    assert lines[centre_slice(128, 8)].all() and lines[64]
    points = random_points((64, 80), acceleration, 10, generator, decay)
    assert int(points.sum()) == round(64 * 80 / acceleration)
    assert points[centre_slice(64, 10), centre_slice(80, 10)].all()


def test_density_decays_from_the_centre():
    generator = torch.Generator().manual_seed(1)
    distance = radius((128, 128))
    flat = random_points((128, 128), 4, 0, generator)
    steep = random_points((128, 128), 4, 0, generator, 3.0)
    assert abs(float(distance[flat].mean() - distance.mean())) < 0.02
    assert float(distance[steep].mean()) < float(distance.mean()) - 0.1


@pytest.mark.parametrize("acceleration", [2.0, 5.0, 12.0])
def test_poisson_disc_meets_its_acceleration(acceleration):
    mask = poisson_disc((96, 96), acceleration, 16, 1.5, seed=3)
    assert int(mask.sum()) == round(96 * 96 / acceleration)
    assert mask[centre_slice(96, 16), centre_slice(96, 16)].all()


def test_poisson_disc_keeps_its_distance():
    import numpy as np
    from scipy.spatial import cKDTree

    outside = radius((96, 96)).numpy() > 0.4
    nearest = []
    for mask in (
        poisson_disc((96, 96), 8.0, 8, 0.0, seed=5),
        random_points((96, 96), 8.0, 8, torch.Generator().manual_seed(5)),
    ):
        points = np.argwhere(mask.numpy() & outside)
        nearest.append(cKDTree(points).query(points, k=2)[0][:, 1])
    # Single points are added to meet the budget; all but a few keep away from each other.
    assert np.quantile(nearest[0], 0.1) >= 2 > np.quantile(nearest[1], 0.4)


def test_pool_does_not_depend_on_the_order_of_draws():
    first = pooled_poisson_disc(48, 2.0, 12.0, 4).clone()
    pooled_poisson_disc.cache_clear()
    pooled_poisson_disc(48, 2.0, 12.0, 9)
    assert torch.equal(pooled_poisson_disc(48, 2.0, 12.0, 4), first)
    net = [48**2 / int(pooled_poisson_disc(48, 2.0, 12.0, i).sum()) for i in range(12)]
    assert 2 <= min(net) < 4 and 7 < max(net) <= 12.1


def test_a_centre_beyond_the_budget_is_refused():
    with pytest.raises(OptionError, match="calibration"):
        random_lines(64, 8, 20, torch.Generator())
    assert int(poisson_disc((48, 40), 4.0, 21, 2.0, 0).sum()) == 480  # 441 of them the block
    with pytest.raises(OptionError, match="576 samples of 480"):
        poisson_disc((48, 40), 4.0, 24, 2.0, 0)


@pytest.mark.parametrize("acceleration", [2.0, 4.0, 8.0])
def test_gaussian_masks_meet_their_acceleration_and_their_density(acceleration):
    generator = torch.Generator().manual_seed(2)
    lines = gaussian_lines(256, acceleration, 12, generator)
    assert int(lines.sum()) == round(256 / acceleration) and lines[centre_slice(256, 12)].all()
    points = gaussian_points((96, 128), acceleration, 10, generator, 0.2)
    assert int(points.sum()) == round(96 * 128 / acceleration)
    distance = radius((96, 128))
    # few enough for the density to show: e^-2 of the peak at two widths
    sparse = gaussian_points((96, 128), 200, 0, generator, 0.2)
    assert float(distance[sparse].square().mean()) == pytest.approx(2 * 0.2**2, rel=0.25)
    with pytest.raises(OptionError, match="width"):
        gaussian_lines(64, 4, 8, generator, 0.0)


@pytest.mark.parametrize("shape", [(64, 64), (63, 80)])
@pytest.mark.parametrize("angle", [None, GOLDEN_ANGLE])
def test_radial_masks_are_dense_in_the_middle_and_symmetric(shape, angle):
    mask = radial(shape, 24, angle=angle)
    assert mask[shape[0] // 2, shape[1] // 2]
    distance = radius(shape)
    near, far = distance < 0.1, (distance > 0.5) & (distance < 0.65)
    assert mask[near].float().mean() > 0.9 > 0.5 > mask[far].float().mean()
    # a spoke through DC holds a point and its mirror image
    odd = mask[1 - shape[0] % 2 :, 1 - shape[1] % 2 :]
    assert float((odd ^ odd.flip(0, 1)).float().mean()) < 0.02
    assert int(radial(shape, 48, angle=angle).sum()) > int(mask.sum())
    assert radial(shape, 3, calibration=10)[centre_slice(shape[0], 10)][
        :, centre_slice(shape[1], 10)
    ].all()
    with pytest.raises(OptionError, match="one or more"):
        radial(shape, 0)


def test_every_pattern_is_reachable_here():
    from rimaging.datasets.simulate import masks

    assert all(hasattr(masks, name) for name in masks.__all__)
    assert masks.fastmri_mask(320, "random").shape == (320,)
