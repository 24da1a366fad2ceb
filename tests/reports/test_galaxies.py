"""Laws of the shapes, positions and fluxes of galaxies."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.errors import DataError, ShapeError
from rimaging.reports.galaxies import (
    adaptive_moments,
    aperture_flux,
    ellipticity_error,
    flux_error,
)

SHEAR = st.floats(-0.45, 0.45)


def gaussian(
    g: complex, sigma: float = 3.0, x: float = 0.0, y: float = 0.0, size: int = 65
) -> np.ndarray:
    """A sheared Gaussian of unit flux, ``(x, y)`` from the middle, sampled at pixel centres."""
    matrix = np.array([[1 + g.real, g.imag], [g.imag, 1 - g.real]]) / math.sqrt(1 - abs(g) ** 2)
    inverse = np.linalg.inv(matrix @ matrix.T * sigma**2)
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    r = np.stack([columns - x, rows - y])
    return np.exp(-np.einsum("iyx,ij,jyx->yx", r, inverse, r) / 2) / (2 * math.pi * sigma**2)


@given(g1=SHEAR, g2=SHEAR, x=st.floats(-1.5, 1.5), y=st.floats(-1.5, 1.5), flux=st.floats(0.1, 1e4))
def test_a_sheared_gaussian_gives_its_shear(g1, g2, x, y, flux) -> None:
    found = adaptive_moments(flux * gaussian(complex(g1, g2), x=x, y=y))
    assert bool(found.ok)
    expected = (g1, g2, 32 + x, 32 + y, 3.0)
    fields = (found.g1, found.g2, found.x, found.y, found.sigma)
    assert [float(field) for field in fields] == pytest.approx(expected, abs=1e-3)
    assert float(found.flux) == pytest.approx(flux, rel=1e-3)


@given(angle=st.floats(0, math.pi))
def test_turning_the_galaxy_turns_its_shear_twice_as_fast(angle: float) -> None:
    stamp = gaussian(0.3 + 0.1j)
    rows, columns = np.mgrid[:65, :65] - 32.0
    # Turned by interpolation, so that the law is about pixels and not about our own formula.
    from scipy.ndimage import map_coordinates

    c, s = math.cos(angle), math.sin(angle)
    turned = map_coordinates(stamp, [-s * columns + c * rows + 32, c * columns + s * rows + 32])
    found = adaptive_moments(turned)
    expected = (0.3 + 0.1j) * np.exp(2j * angle)
    assert complex(found.g1, found.g2) == pytest.approx(expected, abs=1e-3)


def test_galaxies_agree_with_hsm() -> None:
    galsim = pytest.importorskip("galsim", reason="galsim is optional")
    generator = np.random.default_rng(0)
    stamps, expected = [], []
    for index in range(8):
        g1, g2, x, y = generator.uniform(-0.3, 0.3, 4)
        galaxy = galsim.Sersic(1 + index / 4, half_light_radius=3).shear(g1=g1, g2=g2).shift(x, y)
        image = galsim.Convolve(galaxy, galsim.Moffat(beta=3, fwhm=3)).drawImage(
            nx=64, ny=64, scale=1
        )
        stamp = image.array.astype(np.float64)
        stamp += generator.normal(size=stamp.shape) * np.sqrt((stamp**2).sum()) / 40
        hsm = galsim.hsm.FindAdaptiveMom(galsim.Image(stamp))
        shape, centre = hsm.observed_shape, hsm.moments_centroid
        stamps.append(stamp)
        expected.append([shape.g1, shape.g2, hsm.moments_sigma, hsm.moments_amp])
        expected[-1] += [centre.x - 1, centre.y - 1]
    found = adaptive_moments(np.stack(stamps))
    assert bool(found.ok.all())
    fields = [found.g1, found.g2, found.sigma, found.flux, found.x, found.y]
    np.testing.assert_allclose(torch.stack(fields, -1).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_batch_is_its_galaxies_one_by_one_and_failures_stay_alone() -> None:
    stamps = np.stack([gaussian(0.2j), np.zeros((65, 65)), -gaussian(0.1), gaussian(-0.3, 2.0)])
    found = adaptive_moments(stamps.reshape(2, 2, 65, 65))
    assert found.ok.tolist() == [[True, False], [False, True]]
    assert bool(found.g1.isnan().eq(~found.ok).all())
    for index, stamp in enumerate(stamps):
        alone = adaptive_moments(stamp)
        torch.testing.assert_close(alone.g2, found.g2.flatten()[index], equal_nan=True)


def test_pure_noise_never_has_a_shape_beyond_one() -> None:
    noise = np.random.default_rng(2).normal(size=(40, 32, 32))
    found = adaptive_moments(noise)
    assert int(found.ok.sum()) < 10
    shear = torch.hypot(found.g1, found.g2)[found.ok]
    assert bool((shear < 1).all())


def test_ellipticity_error_is_the_distance_of_the_shears() -> None:
    truth = np.stack([gaussian(0.1), gaussian(0.1), np.zeros((65, 65))])
    guess = np.stack([gaussian(0.13 + 0.04j), gaussian(0.1), gaussian(0.1)])
    error = ellipticity_error(truth, guess)
    assert float(error[0]) == pytest.approx(0.05, abs=1e-4)
    assert float(error[1]) == pytest.approx(0.0, abs=1e-9)
    assert bool(error[2].isnan())


@given(radius=st.floats(1.5, 12.0), x=st.floats(14.0, 17.0))
def test_the_aperture_has_the_area_of_its_circle(radius: float, x: float) -> None:
    found = float(aperture_flux(np.ones((31, 31)), radius, x=x, y=15.2))
    assert found == pytest.approx(math.pi * radius**2, rel=0.02)


def test_the_flux_of_a_gaussian_within_a_radius() -> None:
    for radius in (3.0, 6.0, 9.0):
        expected = 1 - math.exp(-(radius**2) / 18)
        assert float(aperture_flux(gaussian(0), radius)) == pytest.approx(expected, rel=0.015)
    stamps = np.stack([gaussian(0), gaussian(0.2)])
    np.testing.assert_allclose(flux_error(stamps, 1.1 * stamps, 5).numpy(), 0.1, rtol=1e-9)


def test_what_is_no_galaxy_is_refused() -> None:
    with pytest.raises(DataError, match="finite"):
        adaptive_moments(np.full((8, 8), np.nan))
    with pytest.raises(ShapeError, match="y, x"):
        adaptive_moments(np.ones(8))
    with pytest.raises(ShapeError, match="reference"):
        ellipticity_error(np.ones((8, 8)), np.ones((9, 8)))
    with pytest.raises(DataError, match="radius"):
        aperture_flux(np.ones((8, 8)), 0.0)
    with pytest.raises(DataError, match="no flux"):
        flux_error(np.zeros((8, 8)), np.ones((8, 8)), 2.0)


def test_a_big_endian_read_only_stamp_as_from_fits() -> None:
    stamp = gaussian(0.2).astype(">f4")
    stamp.flags.writeable = False
    assert float(adaptive_moments(stamp).g1) == pytest.approx(0.2, abs=1e-4)
