"""The residual tests find what was put in, and say so."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rimaging.errors import DataError, ShapeError
from rimaging.reports.diagnostics import changes, diagnose


def noise(*shape: int, seed: int = 0, complex_values: bool = False) -> np.ndarray:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=shape)
    return values + 1j * generator.normal(size=shape) if complex_values else values


def levels(found) -> list[str]:
    return [verdict.level for verdict in found.verdicts()]


@pytest.mark.parametrize("complex_values", [False, True])
@pytest.mark.parametrize("shape", [(64, 64), (3, 33, 48), (8, 31, 20)])
def test_white_noise_of_unit_variance_passes(shape, complex_values: bool) -> None:
    for seed in range(5):
        found = diagnose(noise(*shape, seed=seed, complex_values=complex_values))
        assert found.samples == np.prod(shape) * (1 + complex_values)
        assert found.chi2 == pytest.approx(1, abs=6 * (2 / found.samples) ** 0.5)
        assert levels(found) == ["good", "good"]
        assert "explained to the noise" in found.verdicts()[1].text


def test_a_mask_of_columns_leaves_noise_white_and_hides_what_is_not_measured() -> None:
    mask = np.zeros(96)
    mask[::3] = mask[40:56] = 1
    residual = np.where(mask, noise(128, 96, complex_values=True), np.nan)
    found = diagnose(residual, mask)
    assert levels(found) == ["good", "good"]
    assert found.samples == 2 * 128 * mask.sum()


def test_chi2_is_the_square_of_the_misjudged_noise() -> None:
    residual = noise(64, 64)
    base = diagnose(residual)
    for factor, word in ((1.35, "underestimated"), (0.7, "overestimated")):
        found = diagnose(factor * residual)
        assert found.chi2 == pytest.approx(factor**2 * base.chi2)
        assert word in found.verdicts()[0].text
        assert found.flatness == pytest.approx(base.flatness)
        assert found.correlation == pytest.approx(base.correlation)


def test_neighbours_that_share_noise_are_correlated_by_their_share() -> None:
    white = noise(128, 129)
    residual = (white[:, 1:] + white[:, :-1]) / 2**0.5
    found = diagnose(residual)
    assert found.correlation[0] == pytest.approx(0.5, abs=0.03)
    assert abs(found.correlation[1]) < 0.05
    assert levels(found)[1] == "warning"
    turned = diagnose(residual.T)
    assert turned.correlation == pytest.approx(found.correlation)


def test_a_faint_large_scale_remnant_shows_in_the_spectrum() -> None:
    from scipy.ndimage import gaussian_filter

    remnant = gaussian_filter(noise(256, 256, seed=1), 3)
    found = diagnose(noise(256, 256) + 0.25 * remnant / remnant.std())
    assert levels(found) == ["good", "warning"]
    assert "not explained" in found.verdicts()[1].text


def test_a_residual_of_zero_is_no_structure() -> None:
    found = diagnose(np.zeros((32, 32)))
    assert found.chi2 == 0
    assert levels(found) == ["note", "good"]


def test_changes_of_a_geometric_sequence() -> None:
    truth = torch.ones(8, 8, dtype=torch.complex64)
    estimates = [truth * (1 - 0.5**t) for t in range(1, 12)]
    found = changes(estimates)
    expected = [0.5**t / (1 - 0.5**t) for t in range(2, 12)]
    assert found == pytest.approx(expected, rel=1e-4)
    assert diagnose(noise(32, 32), estimates=estimates).verdicts()[-1].level == "good"
    assert diagnose(noise(32, 32), estimates=estimates[:3]).verdicts()[-1].level == "note"
    assert changes(estimates[:1]) == ()


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(DataError, match="zero everywhere"):
        diagnose(noise(8, 8), np.zeros((8, 8)))
    with pytest.raises(DataError, match="NaN"):
        diagnose(np.full((8, 8), np.nan))
    with pytest.raises(ShapeError, match="broadcast"):
        diagnose(noise(8, 8), np.ones(7))
    with pytest.raises(ShapeError, match="y, x"):
        diagnose(noise(8))
