"""Galaxies on small stamps, as seen by the target PSF: analytic ones and real ones of COSMOS."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SIDE = 65
"""Pixels of a stamp."""

ROWS = {"train": range(40), "validation": range(40, 50), "test": range(50, 70)}
"""Rows of the COSMOS subset that belong to each split."""

SERSIC = (0.5, 0.8, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Indices: a few, since galsim makes a table for each."""


def _draw(profile: Any, target_fwhm: float, random: np.random.Generator) -> Tensor:
    """A profile seen by the target PSF, sampled at the pixels, of sum 1, at a random phase."""
    import galsim

    seen = galsim.Convolve(profile, galsim.Gaussian(fwhm=target_fwhm))
    seen = seen.shift(float(random.uniform(-0.5, 0.5)), float(random.uniform(-0.5, 0.5)))
    image = galsim.Image(SIDE, SIDE, scale=1.0)
    seen.withGSParams(maximum_fft_size=8192).drawImage(image, method="no_pixel")
    return torch.from_numpy(image.array.astype(np.float32))


def taper() -> Tensor:
    """A window (SIDE, SIDE): one inside, zero at the edge of the inscribed circle."""
    line = torch.linspace(-1, 1, SIDE)
    radius = torch.hypot(line[:, None], line[None, :])
    return torch.cos(((radius - 0.75) / 0.25).clamp(0, 1) * torch.pi / 2) ** 2


def _finished(stamps: list[Tensor]) -> Tensor:
    stack = torch.stack(stamps) * taper()
    return stack / stack.sum(dim=(-2, -1), keepdim=True)


SHAPE_NOISE = 0.26
"""Standard deviation of each component of the shear of galaxies (COSMOS: Leauthaud et al. 2007)."""


@lru_cache(maxsize=4)
def analytic_galaxies(count: int, target_fwhm: float, seed: int) -> Tensor:
    """Galaxies (count, SIDE, SIDE) of flux 1: Sersic, bulge with disc, and disc with knots.

    Half-light radii from 0.8 to 7 pixels; shears of Rayleigh's distribution with `SHAPE_NOISE` for
    each component, as galaxies have them. (A network trained on rounder ones makes them rounder.)
    """
    import galsim

    random = np.random.default_rng(seed)
    parameters = galsim.GSParams(folding_threshold=2e-2)
    stamps = []
    for _ in range(count):
        radius = float(np.exp(random.uniform(np.log(0.8), np.log(7.0))))
        kind = random.integers(3)
        if kind == 0:
            n = float(random.choice(SERSIC))
            profile: Any = galsim.Sersic(
                n, half_light_radius=radius, trunc=5 * radius, gsparams=parameters
            )
        else:
            profile = galsim.Exponential(half_light_radius=radius, gsparams=parameters)
        if kind == 1:
            share = float(random.uniform(0.1, 0.6))
            inner = radius * float(random.uniform(0.1, 0.5))
            bulge = galsim.Sersic(
                4.0, half_light_radius=inner, trunc=8 * inner, gsparams=parameters
            )
            profile = (1 - share) * profile + share * bulge
        if kind == 2:
            rng = galsim.BaseDeviate(int(random.integers(1, 2**31)))
            knots = galsim.RandomKnots(
                int(random.integers(5, 30)), half_light_radius=radius, rng=rng
            )
            share = float(random.uniform(0.1, 0.5))
            profile = (1 - share) * profile + share * knots
        g, beta = min(float(random.rayleigh(SHAPE_NOISE)), 0.8), float(random.uniform(0, 180))
        stamps.append(_draw(profile.shear(g=g, beta=beta * galsim.degrees), target_fwhm, random))
    return _finished(stamps)


@lru_cache(maxsize=4)
def cosmos_galaxies(
    folder: Path, split: str, versions: int, target_fwhm: float, seed: int
) -> Tensor:
    """Real galaxies (n, SIDE, SIDE) of flux 1 from HST/ACS stamps of 0.03 arcsec per pixel.

    Each is deconvolved by its own PSF, shrunk 2 to 4 times, sheared and turned, and seen by the
    target PSF. Shrunk, the HST PSF is narrower than the target, so that this amplifies no noise;
    what noise is left averages over 4 to 16 pixels, and is faded out around the galaxy. Of the rows
    of the split only those with a signal to noise above 30 serve. The truth is thus a real galaxy
    at the target PSF with a small rest of HST's noise, cut off softly where it sinks into the sky.

    Source: Rowe et al., Astronomy and Computing 10 (2015), RealGalaxy.
    """
    import galsim
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(seed)
    stamps = []
    for stamp, psf, noise in hst_stamps(folder, split):
        if np.sqrt(np.sum(stamp**2) - stamp.size * noise**2) < 30 * noise:
            continue
        # Far from the galaxy there is only noise: fade it out below three sigma of a mean
        # over some ten pixels (the noise is correlated: twice what white noise leaves).
        smooth = gaussian_filter(stamp, 3.0)
        level = 2 * noise / (2 * np.sqrt(np.pi) * 3.0)
        weight = gaussian_filter(np.clip(smooth / (3 * level) - 0.3, 0, 1), 2.0)
        galaxy, _ = without_psf(stamp * weight * _fade(stamp.shape[0]), psf, 1.0)
        # A stamp of 190 pixels must be shrunk to fit.
        least = max(2.0, stamp.shape[0] / SIDE)
        for _ in range(versions):
            shrink = float(random.uniform(least, max(4.0, least + 0.5)))
            version = galaxy.dilate(1 / shrink).shear(
                e=float(random.uniform(0, 0.2)),
                beta=float(random.uniform(0, 180)) * galsim.degrees,
            )
            version = version.rotate(float(random.uniform(0, 360)) * galsim.degrees)
            stamps.append(_draw(version, target_fwhm, random))
    return _finished(stamps)


def hst_stamps(
    folder: Path, split: str
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], float]]:
    """The COSMOS stamps of a split as HST/ACS saw them, one after the other.

    Each is ``(y, x)`` of 0.03 arcsec with the median of its frame taken off, with its PSF
    ``(v, u)`` of sum 1 and the noise of the frame. Raises FileNotFoundError where they are absent.
    """
    from astropy.io import fits

    with (
        fits.open(folder / "galaxies_dev70.fits.gz") as galaxies,
        fits.open(folder / "psfs_dev70.fits.gz") as psfs,
    ):
        for row in ROWS[split]:
            stamp = np.asarray(galaxies[row].data, dtype=np.float64)
            psf = np.asarray(psfs[row].data, dtype=np.float64)
            frame = np.concatenate(
                [stamp[:3].ravel(), stamp[-3:].ravel(), stamp[:, :3].ravel(), stamp[:, -3:].ravel()]
            )
            level = np.median(frame)
            noise = 1.4826 * np.median(np.abs(frame - level))
            yield stamp - level, psf / psf.sum(), float(noise)


def without_psf(
    stamp: NDArray[np.float64], psf: NDArray[np.float64], pixel: float
) -> tuple[Any, Any]:
    """The profile of a stamp ``(y, x)`` before its PSF blurred it, and that of the PSF (galsim's).

    ``pixel``: the side of the pixels of both, in the unit in which the profiles are to be drawn.
    """
    import galsim

    seen, blur = (
        galsim.InterpolatedImage(galsim.Image(image, scale=pixel)) for image in (stamp, psf)
    )
    return galsim.Convolve(seen, galsim.Deconvolve(blur)), blur


def _fade(side: int) -> np.ndarray:
    """A square window that falls smoothly over the outer tenth."""
    ramp = np.clip((1 - np.abs(np.linspace(-1, 1, side))) / 0.1, 0, 1)
    line = np.sin(ramp * np.pi / 2) ** 2
    return np.asarray(line[:, None] * line[None, :])
