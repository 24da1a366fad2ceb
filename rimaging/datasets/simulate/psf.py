"""Point spread functions: drawn once by galsim, and matched to a target PSF."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rimaging.errors import DataError
from rimaging.operators.target import relative_kernel

WIDTHS = {17: (1.5, 3.0), 31: (2.0, 5.0), 49: (3.0, 8.0)}
"""FWHM in pixels, lowest and highest, of the PSFs drawn on stamps of each odd side."""

FAMILIES = ("moffat", "moffat", "kolmogorov", "airy", "gaussian")
"""Kinds of PSF, drawn with equal chances: one in two-and-a-half is a Moffat."""


def matching_kernel(psf: Tensor, target_fwhm: float) -> Tensor | None:
    """`relative_kernel`, or None where the PSF is sharper than the target in some direction."""
    try:
        return relative_kernel(psf, target_fwhm)
    except DataError:
        return None


def _profile(random: np.random.Generator, low: float, high: float) -> Any:
    """A random PSF profile of galsim, one pixel its unit of length."""
    import galsim

    fwhm = float(np.exp(random.uniform(math.log(low), math.log(high))))
    family = FAMILIES[random.integers(len(FAMILIES))]
    if family == "moffat":
        profile: Any = galsim.Moffat(beta=float(random.uniform(2.5, 5.0)), fwhm=fwhm)
    elif family == "kolmogorov":
        profile = galsim.Kolmogorov(fwhm=fwhm)
    elif family == "airy":
        obscuration = float(random.choice([0.0, 0.2, 0.33]))
        # lambda/D from the width of the core, 1.03 lambda/D without obscuration.
        profile = galsim.Airy(lam_over_diam=fwhm / 1.03, obscuration=obscuration)
    else:
        profile = galsim.Gaussian(fwhm=fwhm)
    e = float(random.uniform(0, 0.2))
    return profile.shear(e=e, beta=float(random.uniform(0, 180)) * galsim.degrees)


@lru_cache(maxsize=8)
def psf_pool(side: int, count: int, seed: int) -> Tensor:
    """``count`` PSFs (count, side, side) of sum 1, ellipticity below 0.2, pixel response included.

    Moffat (beta 2.5 to 5), Kolmogorov, Airy with and without obscuration, Gaussian; their
    FWHM follow ``WIDTHS``. The same arguments give the same pool.
    """
    import galsim

    random = np.random.default_rng([seed, side])
    low, high = WIDTHS[side]
    stamps = []
    for _ in range(count):
        image = galsim.Image(side, side, scale=1.0)
        # Folding a thousandth of the light over is below what the cut to the stamp loses.
        _profile(random, low, high).withGSParams(folding_threshold=1e-2).drawImage(image)
        stamps.append(torch.from_numpy(image.array.astype(np.float64)))
    pool = torch.stack(stamps).clamp_min(0)
    return (pool / pool.sum(dim=(-2, -1), keepdim=True)).float()


@lru_cache(maxsize=8)
def kernel_pool(side: int, count: int, target_fwhm: float, seed: int) -> Tensor:
    """Blurring kernels (count, side, side) from sky at the target PSF to the image.

    For two thirds the PSF of the pool divided by the target (``matching_kernel``), the PSF
    itself for the others and where division is unstable.
    """
    kernels = []
    for index, psf in enumerate(psf_pool(side, count, seed)):
        matched = matching_kernel(psf, target_fwhm) if index % 3 else None
        kernels.append(psf if matched is None else matched)
    return torch.stack(kernels)
