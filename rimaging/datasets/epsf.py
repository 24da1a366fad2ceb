"""The PSF of an image from its own stars: an effective PSF (ePSF), begun by photutils."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.datasets.psf import psf_shape
from rimaging.datasets.star_fit import fitted
from rimaging.errors import DataError, FormatError

__all__ = ["StarPsf", "psf_of_stars", "write_psf"]

THRESHOLD = 10.0
"""Peak of a star over the noise, at least."""

FEWEST = 5
MOST = 40
"""Stars of the ePSF, the brightest."""
MOST_FITTED = 120
"""Stars that it is fitted to: many weak ones tell what the brightest have in common by chance."""
WELL_SAMPLED = 2.5
"""FWHM in pixels from which on stars can be moved without loss, and the PSF is fitted."""
ITERATIONS = 10
MARGIN = 3
"""Pixels around the stamp that are thrown away: where some of the stars have ended."""

FAINT_NEIGHBOUR = 0.05
"""Flux of a neighbour over that of the star which is still isolated."""


@dataclass(frozen=True, kw_only=True)
class StarPsf:
    """A PSF ``(y, x)`` of sum 1 and odd sides, and how it was found.

    stars: how many it is made of; found: how many were above the threshold; saturation: peaks above
    it were left out.
    """

    psf: Tensor
    stars: int
    found: int
    fwhm: float
    ellipticity: float
    saturation: float


def psf_of_stars(
    measurement: Measurement, *, saturation: float | None = None, side: int | None = None
) -> StarPsf:
    """Estimate the PSF of a plane ``(y, x)`` from its isolated, unsaturated stars.

    Stars with a peak above 10 sigma over a smooth background, no brighter neighbour within the
    stamp, no masked pixel, and the sharpness and roundness of the others. saturation: in the units
    of the image, sky included; by default SATURATE of the header, or 80 % of the brightest pixel.
    side: of the PSF in pixels, made odd; by default 7 FWHM, at least 15.

    Raises DataError where fewer than five such stars are found, FormatError without photutils.

    A PSF of 2.5 pixels or more is then fitted to up to 120 stars (`rimaging.datasets.star_fit`).

    Source: Anderson & King, PASP 112, 1360 (2000).
    """
    photutils = _photutils()
    data = np.asarray(measurement.data.reshape(-1, *measurement.data.shape[-2:])[0], np.float64)
    bad = np.zeros(data.shape, bool)
    if measurement.mask is not None:
        mask = measurement.mask.expand(measurement.data.shape)
        bad = np.asarray(mask.reshape(-1, *data.shape)[0]) == 0
    if min(data.shape) < 40:
        raise DataError(
            f"an image of {data.shape} is too small to find its stars: give a larger one"
        )
    limit = _saturation(measurement, data, saturation)
    above, sigma = _without_background(data, bad)
    fwhm, widest = 3.0, 0.0
    found: Any = None
    for _ in range(2):  # the width of the first PSF finds the stars of the second
        found = _find(above, bad, sigma, fwhm)
        reach = max(7, math.ceil(3.5 * fwhm)) if side is None else side // 2
        chosen = _choose(found, above, data, bad, limit, reach)
        if len(chosen) < FEWEST:
            raise DataError(
                f"{len(chosen)} of {len(found)} stars are isolated and unsaturated, expected "
                f"{FEWEST}: give a larger image, saturation=, or a PSF (moffat:FWHM)"
            )
        stars = chosen[:MOST]
        psf = _build(photutils, above, bad, stars, reach)
        fwhm, _ = psf_shape(psf)
        widest = max(widest, fwhm)
    count = len(stars)
    # Faint neighbours can make an effective PSF narrower in each iteration; the fit mends that.
    if widest >= WELL_SAMPLED:
        fwhm = max(fwhm, WELL_SAMPLED)
        fit = fitted(psf.double().numpy(), above, chosen[:MOST_FITTED, :2], fwhm)
        if fit.stars >= FEWEST:
            psf, count = torch.from_numpy(fit.psf).float(), fit.stars
    fwhm, ellipticity = psf_shape(psf)
    return StarPsf(
        psf=psf,
        stars=count,
        found=len(found),
        fwhm=fwhm,
        ellipticity=ellipticity,
        saturation=limit,
    )


def write_psf(path: str | Path, found: StarPsf, header: Any | None, *, version: str) -> Path:
    """Write a PSF as a FITS image with its facts and the pixel size of its image, whole or not."""
    from astropy.io import fits

    from rimaging.datasets.fits_axes import pixel_scales

    path = Path(path)
    hdu = fits.PrimaryHDU(found.psf.numpy().astype(np.float32))
    scales = None if header is None else pixel_scales(header)
    if scales is not None:
        hdu.header["PIXSCALE"] = (3600 * math.sqrt(scales[0] * scales[1]), "arcsec per pixel")
    hdu.header["PSFFWHM"] = (round(found.fwhm, 4), "FWHM in pixels")
    hdu.header["ELLIPT"] = (round(found.ellipticity, 4), "1 - b/a at half of the peak")
    hdu.header["NSTARS"] = (found.stars, "stars that it is made of")
    hdu.header["RIMVER"] = (version, "version of rimaging")
    part = path.with_name(f".writing-{path.name}")
    try:
        hdu.writeto(part, overwrite=True, checksum=True)
        part.replace(path)
    except OSError as error:
        raise FormatError(f"{path.name!r} was not written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _photutils() -> Any:
    try:
        import photutils.background
        import photutils.detection
        import photutils.psf
    except ImportError:
        raise FormatError(
            "estimating a PSF from stars needs photutils: pip install 'rimaging[astro]'"
        ) from None
    return photutils.psf


def _saturation(measurement: Measurement, data: np.ndarray, given: float | None) -> float:
    if given is not None:
        return given
    stated = None if measurement.header is None else measurement.header.get("SATURATE")
    if isinstance(stated, int | float) and stated > np.median(data):
        return float(stated)
    level = float(np.median(data))
    return level + 0.8 * (float(data.max()) - level)


def _without_background(data: np.ndarray, bad: np.ndarray) -> tuple[np.ndarray, float]:
    """The image without what is smooth, and the standard deviation of its sky."""
    from photutils.background import Background2D

    box = max(16, min(64, min(data.shape) // 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # boxes full of stars
        background = Background2D(data, box, mask=bad, filter_size=3, exclude_percentile=90)
    above = data - background.background
    sky = above[~bad]
    sigma = 1.4826 * float(np.median(np.abs(sky - np.median(sky))))
    if not sigma > 0:
        raise DataError("the sky of the image has no noise: its stars cannot be told from it")
    return above, sigma


def _find(above: np.ndarray, bad: np.ndarray, sigma: float, fwhm: float) -> np.ndarray:
    """``(n, 6)``: x, y, flux, peak, sharpness, roundness of everything like a star."""
    from photutils.detection import DAOStarFinder

    finder = DAOStarFinder(threshold=5 * sigma, fwhm=fwhm, exclude_border=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # none found
        table = finder(above, mask=bad)
    if table is None:
        return np.zeros((0, 6))
    names = ("x_centroid", "y_centroid", "flux", "peak", "sharpness", "roundness2")
    sources = np.stack([np.asarray(table[name], float) for name in names], axis=1)
    # Those that are too faint to be used can still spoil a neighbour: the peak decides later.
    sources = sources[np.isfinite(sources).all(axis=1)]
    return np.asarray(sources[sources[:, 3] > 5 * sigma])


def _choose(
    found: np.ndarray,
    above: np.ndarray,
    data: np.ndarray,
    bad: np.ndarray,
    limit: float,
    reach: int,
) -> np.ndarray:
    """The stars fit to be used, the brightest first: unsaturated, isolated, whole, of one kind."""
    if not len(found):
        return found
    x, y, flux, peak = found[:, 0], found[:, 1], found[:, 2], found[:, 3]
    rows, columns = data.shape
    sky = above[~bad]
    sigma = 1.4826 * float(np.median(np.abs(sky - np.median(sky))))
    far = reach + MARGIN
    inside = (x > far) & (x < columns - 1 - far) & (y > far) & (y < rows - 1 - far)
    good = inside & (peak > THRESHOLD * sigma)
    for index in np.flatnonzero(good):
        column, row = round(x[index]), round(y[index])
        stamp = np.s_[row - reach : row + reach + 1, column - reach : column + reach + 1]
        core = np.s_[row - 1 : row + 2, column - 1 : column + 2]
        if bad[stamp].any() or data[core].max() >= limit:
            good[index] = False
            continue
        near = (np.abs(x - x[index]) <= reach) & (np.abs(y - y[index]) <= reach)
        near[index] = False
        if (flux[near] > FAINT_NEIGHBOUR * flux[index]).any():
            good[index] = False
    chosen = found[good]
    for axis in (4, 5):
        if len(chosen) < 2 * FEWEST:
            break
        middle = np.median(chosen[:, axis])
        spread = 1.4826 * np.median(np.abs(chosen[:, axis] - middle))
        chosen = chosen[np.abs(chosen[:, axis] - middle) <= 3 * spread + 1e-3]
    return np.asarray(chosen[np.argsort(chosen[:, 2])[::-1]])


def _build(
    photutils: Any, above: np.ndarray, bad: np.ndarray, stars: np.ndarray, reach: int
) -> Tensor:
    from astropy.nddata import NDData
    from astropy.table import Table

    table = Table({"x": stars[:, 0], "y": stars[:, 1]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of single stars
        side = 2 * (reach + MARGIN) + 1
        cut = photutils.extract_stars(NDData(above, mask=bad), table, size=side)
        # On the pixels of the image, where every star tells of every value, and unsmoothed: the
        # usual kernel of 5 x 5 is meant for quarter pixels, on whole ones it widens a PSF by up to
        # a fifth.
        builder = photutils.EPSFBuilder(
            oversampling=1, smoothing_kernel=None, maxiters=ITERATIONS, progress_bar=False
        )
        epsf = builder(cut).epsf
    psf = torch.from_numpy(np.array(epsf.data, dtype=np.float64))
    psf = psf[MARGIN:-MARGIN, MARGIN:-MARGIN]
    # What is left of the sky, from the rim of the stamp.
    rim = torch.ones_like(psf, dtype=torch.bool)
    rim[1:-1, 1:-1] = False
    psf = psf - psf[rim].median()
    total = float(psf.sum())
    if not (math.isfinite(total) and total > 0):
        raise DataError("the stars have no common shape: the image may hold none, or be distorted")
    return (psf / total).float()
