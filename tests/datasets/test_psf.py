from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.datasets.psf import prepare_psf, psf_doubts, psf_shape
from rimaging.errors import DataError, ShapeError
from rimaging.operators.target import gaussian_psf
from rimaging.operators.visibilities import Visibilities, Weighting, dirty_beam, weights_of


def gaussian(length: int, centre: float, width: float = 2.0) -> torch.Tensor:
    profile = torch.exp(-((torch.arange(float(length)) - centre) ** 2) / (2 * width**2))
    return profile[:, None] * profile[None, :]


@given(st.integers(16, 31), st.floats(0.01, 1e4), st.sampled_from([-0.5, 0.0, 0.5]))
def test_a_psf_becomes_odd_of_sum_one_and_centred(length: int, flux: float, shift: float) -> None:
    shift = shift if length % 2 == 0 else 0.0
    psf, notes = prepare_psf(flux * gaussian(length, (length - 1) / 2 + shift))
    assert psf.shape == (length + 1 - length % 2,) * 2
    assert float(psf.sum()) == pytest.approx(1, abs=1e-5)
    position = torch.arange(float(psf.shape[0])) - psf.shape[0] // 2
    assert abs(float((psf * position).sum())) < 1e-3
    assert abs(float((psf * position[:, None]).sum())) < 1e-3
    assert len([note for note in notes if "padded" in note]) == (2 if length % 2 == 0 else 0)


def test_the_sum_that_came_is_reported_and_a_good_psf_stays() -> None:
    psf = gaussian(15, 7.0)
    good, notes = prepare_psf(psf / psf.sum())
    assert notes == []
    torch.testing.assert_close(good, psf / psf.sum())
    _, notes = prepare_psf(2.5 * psf / psf.sum())
    assert "2.5" in notes[0]


def test_an_off_centre_psf_is_not_recentred() -> None:
    psf = gaussian(21, 12.0)
    same, _ = prepare_psf(psf)
    torch.testing.assert_close(same * psf.sum(), psf)


def test_a_psf_that_is_off_its_middle_or_on_a_level_is_told() -> None:
    """Moved by 2.0 pixels to the left, a star comes out so far to the right."""
    good = prepare_psf(gaussian(31, 15.0))[0]
    off = prepare_psf(torch.roll(gaussian(31, 15.0), -2, dims=1))[0]
    level = prepare_psf(gaussian(31, 15.0) + 0.01)[0]
    assert psf_doubts(good) == []
    assert "centred -2.00, +0.00 pixels (x, y)" in psf_doubts(torch.stack([good, off]))[0]
    assert "a level that is 28% of its light" in psf_doubts(level)[0]


def test_each_band_is_normalised() -> None:
    psf, _ = prepare_psf(torch.stack([gaussian(9, 4.0), 3 * gaussian(9, 4.0)]))
    torch.testing.assert_close(psf[0], psf[1])


def test_what_is_no_psf_is_refused() -> None:
    with pytest.raises(ShapeError):
        prepare_psf(torch.ones(5))
    with pytest.raises(DataError, match="dirty beam"):
        prepare_psf(torch.full((5, 5), -1.0))
    with pytest.raises(DataError, match="NaN"):
        prepare_psf(torch.full((5, 5), torch.nan))


@pytest.mark.parametrize("weighting", ["natural", "uniform"])
def test_a_dirty_beam_is_no_psf_whatever_its_sum(weighting: Weighting) -> None:
    draw = torch.Generator().manual_seed(0)
    u, v = 1e5 * torch.randn(2, 60, generator=draw, dtype=torch.float64).clamp(-2, 2)
    sky = Visibilities(u, v, (61, 61), 1e-6, torch.float64)
    beam = dirty_beam(sky, weights_of(u, v, torch.ones(60), 61e-6, weighting)).float()
    assert float(beam.max()) == pytest.approx(1)
    with pytest.raises(DataError, match="dirty beam"):
        prepare_psf(beam)
    whole = (beam + 0.002) / 1.002  # a sum above zero for sure
    with pytest.raises(DataError, match="dirty beam"):
        prepare_psf(whole)
    prepare_psf(gaussian_psf(3.0) / gaussian_psf(3.0).max())  # peak 1, and no dirty beam


def test_the_shape_of_a_psf() -> None:
    fwhm, ellipticity = psf_shape(gaussian_psf(3.7))
    assert fwhm == pytest.approx(3.7, rel=0.01) and ellipticity < 0.01
    y, x = torch.meshgrid(torch.arange(-12.0, 13), torch.arange(-12.0, 13), indexing="ij")
    oval = torch.exp(-4 * math.log(2) * (x**2 / 25 + y**2 / 16))
    fwhm, ellipticity = psf_shape(oval)
    assert fwhm == pytest.approx(math.sqrt(20), rel=0.01) and ellipticity == pytest.approx(
        0.2, abs=0.01
    )
