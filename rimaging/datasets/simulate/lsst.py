"""Real galaxies as a survey from the ground sees them, after the simulations of Galaxy-Deconv."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rimaging.datasets.simulate.galaxies import hst_stamps, without_psf
from rimaging.operators.convolution import Convolution

SIDE, PSF_SIDE = 48, 49
PIXEL = 0.2
"""Arcsec; that of HST is `HST_PIXEL`."""

HST_PIXEL = 0.03
FINE = 4
"""A galaxy is drawn on pixels so many times finer, and summed."""

SKY, READ_NOISE = 40.0, 5.0
"""Electrons per pixel: the mean of the sky, and the standard deviation of the read noise."""

SEEING = ((0.45, 0.55, 0.65, 0.75, 0.85, 0.95), (0.0, 20.0, 17.0, 13.0, 9.0, 0.0))
"""FWHM of the atmosphere in arcsec, and how often it comes; a spline between."""


@dataclass(frozen=True)
class Scenes:
    """Galaxies ``truth (n, y, x)``, none negative, and the PSF of each ``(n, v, u)``; of sum 1."""

    truth: Tensor
    psf: Tensor


def lsst_scenes(folder: Path, count: int, seed: int) -> Scenes:
    """So many scenes of the test rows of the HST/ACS stamps in ``folder``, one after the other.

    A stamp, the median of its frame taken off, is deconvolved by its own PSF, turned, sheared by
    0.01 to 0.05, magnified by 1 to 1.1, seen by that PSF again, and moved by up to a fine pixel;
    what HST's noise leaves below zero is set to zero. Scene ``i`` depends on ``seed`` and ``i``
    alone.

    Raises FileNotFoundError where the stamps are absent.

    Source: Li & Alexander, MNRAS 522, L31 (2023).
    """
    stamps = list(hst_stamps(folder, "test"))
    truths, psfs = [], []
    for index in range(count):
        random = np.random.default_rng([seed, index])
        stamp, psf, _ = stamps[index % len(stamps)]
        truths.append(_galaxy(stamp, psf, random))
        psfs.append(_psf(random))
    stacks = (torch.from_numpy(np.stack(images)) for images in (truths, psfs))
    return Scenes(*(images / images.sum((-2, -1), keepdim=True) for images in stacks))


def flux(snr: float) -> float:
    """The electrons ``F`` of a galaxy, of which the SNR over the whole field is ``snr``.

    ``F / sqrt(F + SKY SIDE^2) = snr``: photon noise alone.
    """
    return snr * (snr + math.sqrt(snr**2 + 4 * SKY * SIDE**2)) / 2


def observe(scenes: Scenes, snr: float, seed: int) -> tuple[Tensor, Tensor]:
    """The truth ``g`` and the data ``y = Poisson(g * psf + SKY) + N(0, READ_NOISE)``.

    Both ``(n, y, x)`` in electrons; the sum of each ``g`` is `flux` of ``snr``.
    """
    truth = flux(snr) * scenes.truth
    seen = Convolution(scenes.psf, truth.shape[-2:], "zero")(truth).clamp_min(0)
    random = np.random.default_rng([seed, round(1000 * snr)])
    electrons = random.poisson((seen + SKY).numpy())
    return truth, torch.from_numpy(electrons + random.normal(0, READ_NOISE, electrons.shape))


def _galaxy(
    stamp: NDArray[np.float64], psf: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float64]:
    import galsim

    galaxy, blur = without_psf(stamp, psf, HST_PIXEL)
    galaxy = galaxy.rotate(_angle(random))
    # Equally often by area in the plane of the shears.
    shear = math.sqrt(random.uniform(0.01**2, 0.05**2))
    galaxy = galaxy.shear(g=shear, beta=_angle(random)).magnify(random.uniform(1, 1.1))
    image = galsim.ImageD(SIDE * FINE, SIDE * FINE)
    offset = (random.uniform(-1, 1), random.uniform(-1, 1))
    galsim.Convolve(galaxy, blur).drawImage(image, scale=PIXEL / FINE, offset=offset)
    fine = np.asarray(image.array).reshape(SIDE, FINE, SIDE, FINE)
    return np.asarray(fine.sum((1, 3)).clip(min=0))


def _psf(random: np.random.Generator) -> NDArray[np.float64]:
    """Atmosphere and aberrated optics, seen by a fine pixel, at the middles of the large ones."""
    import galsim

    often = galsim.LookupTable(*SEEING, interpolant="spline")
    widths = np.linspace(SEEING[0][0], SEEING[0][-1], 100)
    share = np.cumsum(np.clip([often(width) for width in widths], 0, None))
    fwhm = float(np.interp(random.uniform(), share / share[-1], widths))
    atmosphere = galsim.Kolmogorov(fwhm=fwhm)
    atmosphere = atmosphere.shear(e=random.uniform(0.01, 0.03), beta=_angle(random))
    names = ("coma1", "coma2", "astig1", "astig2", "spher", "trefoil1", "trefoil2")
    optics = galsim.OpticalPSF(
        random.uniform(0.013, 0.083),  # wavelength over diameter, arcsec
        obscuration=random.uniform(0.1, 0.5),
        defocus=random.normal(0, 0.36),  # waves
        **{name: random.normal(0, 0.07) for name in names},
    )
    image = galsim.ImageD(PSF_SIDE, PSF_SIDE)
    seen = galsim.Convolve(atmosphere, optics, galsim.Pixel(PIXEL / FINE))
    seen.drawImage(image, scale=PIXEL, method="no_pixel")
    return np.asarray(image.array)


def _angle(random: np.random.Generator) -> Any:
    import galsim

    return random.uniform(0, 2 * math.pi) * galsim.radians
