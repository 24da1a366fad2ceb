"""The Gaussian likelihood of each kind of measurement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rimaging.errors import DataError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.operators.noncartesian import NonCartesianMRI

if TYPE_CHECKING:
    from rimaging.datasets.measurement import Measurement

__all__ = ["image_likelihood", "kspace_likelihood", "sky_likelihood"]


def kspace_likelihood(m: Measurement, sets: bool) -> Gaussian:
    """``y = M F S x + n``, of a trajectory ``y = F_k S x + n``; raises DataError without maps."""
    if m.maps is None:
        raise DataError(
            f"k-space of {m.data.shape[-3]} coils came without maps: estimate them with espirit."
        )
    if m.trajectory is not None:
        assert m.noise is not None
        transform = NonCartesianMRI(m.maps.to(m.data.dtype), m.trajectory, sets=sets)
        return Gaussian(transform, m.data, m.noise)
    assert m.mask is not None and m.noise is not None
    mask = m.mask.to(m.data.real.dtype)
    operator = CartesianMRI(m.maps.to(m.data.dtype), mask, sets=sets)
    return Gaussian(operator, m.data, m.noise, weight=mask.unsqueeze(-3))


def sky_likelihood(m: Measurement, boundary: Literal["valid", "reflect"]) -> Gaussian:
    """``y = psf * x + n``; raises DataError without a PSF."""
    if m.psf is None:
        raise DataError("the sky came without a PSF: give psf=, an array or a file.")
    assert m.noise is not None
    operator = Convolution(m.psf.to(m.data.dtype), m.data.shape[-2:], boundary=boundary)
    return Gaussian(operator, m.data, m.noise, weight=m.mask)


def image_likelihood(m: Measurement) -> Gaussian:
    """``y = x + n``."""
    assert m.noise is not None
    operator = Identity(tuple(m.data.shape[-2:]), m.data.dtype)
    return Gaussian(operator, m.data, m.noise, weight=m.mask)
