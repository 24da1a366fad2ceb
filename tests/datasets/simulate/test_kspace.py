"""Laws of simulated k-space: noise as declared, truth as a full scan shows it, fair splits."""

import pytest
import torch

from rimaging.datasets.operator_card import load_operator_card
from rimaging.datasets.simulate.anatomy import KELLMAN, SUBJECTS
from rimaging.datasets.simulate.kspace import (
    DEFAULTS,
    KSpace,
    ellipse,
    object_support,
    signal,
    truncated,
)
from rimaging.errors import CardError, OptionError

EXACT = {"map_error": 0, "support": 0}


@pytest.fixture(scope="module")
def sampler(data_root):
    return KSpace({"coils": 4, "pool": 2}, data_root)


@pytest.fixture(scope="module")
def exact(data_root):
    return KSpace({**EXACT, "coils": 4, "pool": 2}, data_root)


def test_the_generator_alone_decides(sampler):
    one = sampler(torch.Generator().manual_seed(1), 2, 64)
    sampler(torch.Generator().manual_seed(9), 2, 64)
    again = sampler(torch.Generator().manual_seed(1), 2, 64)
    other = sampler(torch.Generator().manual_seed(2), 2, 64)
    assert torch.equal(one[0].y, again[0].y) and torch.equal(one[1], again[1])
    assert not torch.equal(one[1], other[1])


def test_noise_is_the_declared_one(exact):
    generator = torch.Generator().manual_seed(3)
    for _ in range(4):
        likelihood, truth = exact(generator, 3, 64)
        # At least 4 coils x 64^2 / 12 samples x 2 components: a deviation of 0.027.
        assert torch.allclose(likelihood.chi2(truth), torch.ones(3), atol=0.12)
        snr = signal(truth) / likelihood.noise_scale.flatten()
        assert (snr > 5).all() and (snr < 300).all()


def test_shapes_and_what_was_not_measured(sampler):
    likelihood, truth = sampler(torch.Generator().manual_seed(4), 3, 48)
    assert truth.shape == (3, 48, 48) and truth.dtype == torch.complex64
    assert likelihood.y.shape == (3, 4, 48, 48) and likelihood.y.dtype == torch.complex64
    mask = likelihood.operator.mask.expand_as(likelihood.y)
    assert (likelihood.y[mask == 0] == 0).all()
    assert (likelihood.y[mask > 0] != 0).all()


def test_wrong_maps_are_told_apart_from_noise(data_root):
    """The truth stays the best image for the given maps, so chi2 grows with their error only."""
    sampler = KSpace(
        {"coils": 4, "pattern": "equispaced", "map_error": 0.05, "support": 0, "snr": 500},
        data_root,
    )
    likelihood, truth = sampler(torch.Generator().manual_seed(5), 2, 48)
    worse = truth * 1.1
    assert (likelihood.chi2(truth) > 1.05).all()
    assert (likelihood.chi2(truth) < likelihood.chi2(worse)).all()


def test_maps_end_with_the_object(data_root):
    sampler = KSpace({"coils": 4, "map_error": 0, "support": 1, "photographs": 0}, data_root)
    likelihood, truth = sampler(torch.Generator().manual_seed(6), 4, 64)
    power = likelihood.operator.maps.abs().square().sum(dim=-3)
    assert (truth[power == 0] == 0).all()
    assert torch.allclose(power[power > 0], torch.ones(()), atol=1e-5)
    assert 0.05 < float((power > 0).float().mean()) < 1


def test_masks_of_a_sampler_have_the_declared_acceleration(exact, data_root):
    generator = torch.Generator().manual_seed(7)
    net = [64**2 / int(exact.mask(generator, 64).sum()) for _ in range(60)]
    assert min(net) >= 1 and max(net) < 12.5 and max(net) > 6
    lines = KSpace({"pattern": "variable-lines", "acceleration": 4, "full": 0}, data_root)
    assert all(int(lines.mask(generator, 64).sum()) == 64 * 16 for _ in range(4))
    spokes = KSpace({"pattern": "radial", "acceleration": 4, "full": 0}, data_root)
    assert all(3.5 < 64**2 / int(spokes.mask(generator, 64).sum()) < 6 for _ in range(4))


def test_splits_share_no_subject():
    for rows in SUBJECTS.values():
        taken = [set(r) for r in rows.values()]
        assert sum(map(len, taken)) == len(set().union(*taken))
    assert sum(map(len, KELLMAN.values())) == len(set().union(*KELLMAN.values()))


def test_every_split_can_be_drawn_from(data_root):
    for split in ("validation", "test"):
        _, truth = KSpace({"coils": 4}, data_root, split)(torch.Generator().manual_seed(0), 1, 32)
        assert truth.abs().max() > 0


def test_support_covers_the_object():
    image = ellipse(torch.Generator().manual_seed(0), 64)
    support = object_support(image + 0j)
    assert (support[image > 0.3] == 1).all() and 0 < float(support.mean()) < 1


def test_the_card_is_the_sampler(data_root):
    card = load_operator_card("mri-cartesian")
    card.check_parameters(tuple(DEFAULTS))
    assert card.sampler == "kspace"


def test_refusals(data_root):
    with pytest.raises(CardError, match="'snrr': did you mean 'snr'"):
        KSpace({"snrr": 3}, data_root)
    with pytest.raises(OptionError, match="use one of"):
        KSpace({}, data_root, "all")
    with pytest.raises(OptionError, match="pattern"):
        KSpace({"pattern": "spiral", "full": 0}, data_root).mask(torch.Generator(), 32)


@pytest.mark.parametrize(("fine", "size"), [(40, 32), (47, 24), (64, 33)])
def test_a_scanner_cuts_k_space_and_keeps_what_it_measures(fine: int, size: int) -> None:
    flat = torch.full((fine, fine), 2.0 + 1j)
    assert torch.allclose(truncated(flat, size), torch.full((size, size), 2.0 + 1j), atol=1e-4)
    # a wave that both grids hold stays that wave
    line = (torch.arange(fine) - fine // 2) / fine
    wave = torch.exp(2j * torch.pi * 5 * line)[:, None] * torch.ones(fine)
    grid = (torch.arange(size) - size // 2) / size
    coarse = torch.exp(2j * torch.pi * 5 * grid)[:, None] * torch.ones(size)
    assert torch.allclose(truncated(wave, size), coarse, atol=1e-4)
    # and one that the coarse grid cannot hold is gone, not folded
    fast = torch.exp(2j * torch.pi * (size // 2 + 1) * line)[:, None] * torch.ones(fine)
    assert truncated(fast, size).abs().max() < 1e-4
