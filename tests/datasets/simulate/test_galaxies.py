"""Laws of galaxy stamps: unit flux, band-limited by the target, disjoint splits."""

import pytest
import torch

from rimaging.datasets.simulate.galaxies import ROWS, SIDE, analytic_galaxies, cosmos_galaxies

pytest.importorskip("galsim")


def high_frequency_share(stamps: torch.Tensor) -> torch.Tensor:
    """Power at |f| > 0.45 per pixel along either axis over all power."""
    power = torch.fft.fft2(stamps).abs().square()
    high = torch.fft.fftfreq(stamps.shape[-1]).abs() > 0.45
    return power[:, high[:, None] | high[None, :]].sum(-1) / power.sum(dim=(-2, -1))


def test_analytic_galaxies_are_normalised_band_limited_and_repeatable():
    stamps = analytic_galaxies(12, 2.0, 5)
    assert stamps.shape == (12, SIDE, SIDE)
    assert torch.allclose(stamps.sum(dim=(-2, -1)), torch.ones(12), atol=1e-4)
    assert float(high_frequency_share(stamps).max()) < 1e-3
    analytic_galaxies.cache_clear()
    assert torch.equal(analytic_galaxies(12, 2.0, 5), stamps)


def test_real_galaxies_are_clean_and_in_the_middle(data_root):
    stamps = cosmos_galaxies(data_root / "astro" / "cosmos_galaxies", "validation", 1, 2.0, 0)
    assert len(stamps) >= 3
    assert torch.allclose(stamps.sum(dim=(-2, -1)), torch.ones(len(stamps)), atol=1e-4)
    assert float(high_frequency_share(stamps).max()) < 1e-2
    peak = stamps.amax(dim=(-2, -1))
    assert (stamps.amin(dim=(-2, -1)) > -0.1 * peak).all()
    assert float(stamps[:, :4].abs().max()) < 0.01 * float(peak.max())


def test_splits_share_no_galaxy():
    assert [len(ROWS[s]) for s in ("train", "validation", "test")] == [40, 10, 20]
    assert len(set().union(*ROWS.values())) == 70
