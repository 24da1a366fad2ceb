"""Laws of the shears that shapelets measure."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rimaging.errors import DataError, ShapeError
from rimaging.operators.convolution import Convolution
from rimaging.reports.shapelets import shapelet_shear

SHEAR = st.floats(-0.1, 0.1)


def gaussian(g: complex, sigma: float, size: int = 65) -> Tensor:
    """A sheared Gaussian ``(y, x)`` of unit sum in the middle."""
    line = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    y, x = line[:, None], line[None, :]
    u, v = (1 - g.real) * x - g.imag * y, (1 + g.real) * y - g.imag * x
    stamp = torch.exp(-(u**2 + v**2) / (2 * sigma**2 * (1 - abs(g) ** 2)))
    return stamp / stamp.sum()


def as_complex(shear: Tensor) -> complex:
    return complex(*shear.tolist())


@given(g1=SHEAR, g2=SHEAR, sigma=st.floats(1.0, 5.0), flux=st.floats(0.1, 1e4))
def test_a_sheared_gaussian_gives_its_shear(
    g1: float, g2: float, sigma: float, flux: float
) -> None:
    found = shapelet_shear(flux * gaussian(complex(g1, g2), sigma), 3.5)
    assert found.tolist() == pytest.approx([g1, g2], abs=1e-2)


@given(angle=st.floats(0, math.pi))
def test_turning_the_galaxy_turns_its_shear_twice_as_fast(angle: float) -> None:
    from scipy.ndimage import map_coordinates

    stamp = gaussian(0.3 + 0.1j, 3.0).numpy()
    rows, columns = np.mgrid[:65, :65] - 32.0
    c, s = math.cos(angle), math.sin(angle)
    turned = map_coordinates(stamp, [-s * columns + c * rows + 32, c * columns + s * rows + 32])
    expected = as_complex(shapelet_shear(stamp, 3.5)) * np.exp(2j * angle)
    assert as_complex(shapelet_shear(turned, 3.5)) == pytest.approx(expected, abs=1e-3)


@given(g1=SHEAR, g2=SHEAR, width=st.floats(1.0, 2.5), even=st.booleans())
def test_dividing_by_the_psf_undoes_its_blur(
    g1: float, g2: float, width: float, even: bool
) -> None:
    """Each stamp its own PSF, on even and odd sides."""
    size = 64 if even else 65
    sharp = torch.stack([gaussian(0.3 - 0.2j, 2.5, size), gaussian(-0.1j, 4.0, size)])
    psf = torch.stack([gaussian(complex(g1, g2), width, 33), gaussian(complex(g2, g1), 1.5, 33)])
    blurred = Convolution(psf, (size, size), "zero")(sharp)
    expected = shapelet_shear(sharp, 3.5)
    torch.testing.assert_close(shapelet_shear(blurred, 3.5, 7 * psf), expected, rtol=0, atol=1e-5)
    assert float((shapelet_shear(blurred, 3.5) - expected).abs().max()) > 1e-2
    torch.testing.assert_close(
        shapelet_shear(blurred[1], 3.5, psf[1]), expected[1], rtol=0, atol=1e-5
    )


def test_no_shear_is_beyond_one_and_what_has_no_light_has_none() -> None:
    noise = np.random.default_rng(0).normal(size=(50, 32, 32))
    found = torch.linalg.vector_norm(shapelet_shear(noise, 3.5), dim=-1)
    known = ~found.isnan()
    assert 0 < int(known.sum()) < 50
    assert float(found[known].max()) <= 1 + 1e-12
    assert bool(shapelet_shear(np.zeros((2, 8, 8)), 3.5).isnan().all())


def test_what_is_no_galaxy_and_no_psf_is_refused() -> None:
    with pytest.raises(ShapeError, match="y, x"):
        shapelet_shear(np.ones(8), 3.5)
    with pytest.raises(DataError, match="galaxies have complex or non-finite"):
        shapelet_shear(np.full((8, 8), np.nan), 3.5)
    with pytest.raises(DataError, match="scale"):
        shapelet_shear(np.ones((8, 8)), 0.0)
    with pytest.raises(ShapeError, match="odd"):
        shapelet_shear(np.ones((8, 8)), 3.5, np.ones((4, 4)))
