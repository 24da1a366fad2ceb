"""Skies of a few thousand pixels, long enough that tiles do not see all of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from rimaging.datasets.varying_psf import Grid as Nodes
from rimaging.datasets.varying_psf import Polynomial, VaryingPsf
from rimaging.mosaic.generated import describe_starfield
from rimaging.operators.target import gaussian_psf

SHAPE = (2, 24, 400)


def _field(kind: str) -> VaryingPsf:
    narrow, wide = pad(gaussian_psf(2.0), (1, 1, 1, 1)), gaussian_psf(2.4)
    if kind == "nodes":
        images = torch.stack([narrow, wide, (narrow + wide) / 2, narrow, wide, narrow])
        return VaryingPsf(images, Nodes((10.0,), (0.0, 50.0, 120.0, 190.0, 310.0, 380.0)), kind)
    images = torch.stack((wide, narrow - wide, 0.3 * (wide - narrow)))
    return VaryingPsf(images, Polynomial(1, zero=(12.0, 200.0), scale=(50.0, 450.0)), kind)


@pytest.fixture
def field() -> Callable[[str], VaryingPsf]:
    """A PSF that changes over 24 x 400 pixels, by "nodes" or a "polynomial"."""
    return _field


@pytest.fixture
def stars() -> np.ndarray:
    """The values of a made-up sky."""
    from rimaging.mosaic.sources import open_source

    source = open_source(describe_starfield(SHAPE, fwhm=2.2, cell=20))
    return source.read((slice(0, 2), slice(0, 24), slice(0, 400)))
