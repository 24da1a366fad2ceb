"""How near the PSF from an image's own stars comes to the truth, beside photutils as it comes."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor

from rimaging.benchmark.table import Table
from rimaging.datasets.epsf import psf_of_stars
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.psf import psf_shape, resampled

CASES = ((1.3, 60), (1.8, 20), (1.8, 200), (2.5, 60), (3.1, 20), (3.1, 200), (4.5, 60))
"""FWHM in pixels, and stars in the field."""

SIDE, RADIUS, SIGMA, SUB = 512, 25, 3.0, 5


def main() -> None:
    """Print the largest error of the PSF over its peak, and the ratio of the FWHM."""
    rows = []
    for fwhm, count in CASES:
        image = field(fwhm, count)
        sky = Measurement(kind="sky", data=torch.from_numpy(image).float())
        ours = psf_of_stars(sky)
        half = ours.psf.shape[-1] // 2
        truth = profile(fwhm, 0, 0, half)
        truth = truth - np.median(truth[0])  # no stamp tells its wings from the sky
        truth = torch.from_numpy(truth / truth.sum())
        width = psf_shape(truth)[0]
        cells = [f"{fwhm:g}", str(ours.stars)]
        for psf in (ours.psf.double(), by_photutils(image, half)):
            error = float((psf - truth).abs().max() / truth.max())
            cells += [f"{100 * error:.1f} %", f"{psf_shape(psf)[0] / width:.3f}"]
        rows.append(cells)
    protocol = [
        "Moffat stars (beta 3, axes 10 % apart, integrated over pixels) at random places of "
        f"{SIDE} x {SIDE} pixels, flux 10^3 to 10^5.5, uniform in its logarithm; sky noise "
        f"{SIGMA:g}.",
        "Error: largest difference from the truth over its peak. FWHM: over that of the truth.",
        "photutils: EPSFBuilder with its own settings (quarter pixels, quartic kernel), of such "
        "stars as DAOStarFinder finds above 10 sigma without a neighbour in the stamp.",
    ]
    header = ["FWHM", "stars", "rimaging, error", "FWHM", "photutils, error", "FWHM"]
    print(Table("The PSF of stars", protocol, header, rows).text())


def field(fwhm: float, count: int) -> np.ndarray:
    """Stars on a sky of 100."""
    random = np.random.default_rng(3)
    image = 100 + random.normal(0, SIGMA, (SIDE, SIDE))
    places = random.uniform(30, SIDE - 30, (count, 2))
    total = profile(fwhm, 0, 0, 60).sum()
    for (y, x), flux in zip(places, 10 ** random.uniform(3, 5.5, count), strict=True):
        row, column = round(y), round(x)
        star = flux / total * profile(fwhm, y - row, x - column, RADIUS)
        image[row - RADIUS : row + RADIUS + 1, column - RADIUS : column + RADIUS + 1] += star
    return image


def profile(fwhm: float, dy: float, dx: float, half: int) -> np.ndarray:
    """A Moffat integrated over pixels, ``(2 half + 1)`` squared, centred at ``dy, dx``."""
    points = (np.arange(SUB * (2 * half + 1)) - SUB * half - SUB // 2) / SUB
    core = fwhm / 2 / np.sqrt(2 ** (1 / 3) - 1)
    squared = ((points[None, :] - dx) / 1.05) ** 2 + ((points[:, None] - dy) / 0.95) ** 2
    value = (1 + squared / core**2) ** -3.0
    return value.reshape(2 * half + 1, SUB, 2 * half + 1, SUB).mean(axis=(1, 3))


def by_photutils(image: np.ndarray, half: int) -> Tensor:
    """The ePSF of photutils as it comes, on whole pixels, its rim at zero."""
    from astropy.nddata import NDData
    from photutils.detection import DAOStarFinder
    from photutils.psf import EPSFBuilder, extract_stars

    above = image - np.median(image)
    table = DAOStarFinder(threshold=5 * SIGMA, fwhm=3.0)(above)
    x, y = np.asarray(table["x_centroid"]), np.asarray(table["y_centroid"])
    apart = np.maximum(abs(x[:, None] - x), abs(y[:, None] - y)) + 1e9 * np.eye(len(x))
    table["x"], table["y"] = x, y
    bright = (np.asarray(table["peak"]) > 10 * SIGMA) & (apart.min(axis=1) > half)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stars = extract_stars(NDData(above), table[bright], size=2 * half + 7)
        fine = EPSFBuilder(progress_bar=False)(stars).epsf
    psf = resampled(torch.from_numpy(np.array(fine.data, dtype=float)), 0.25, (half, half))
    psf = psf - psf[0].median()
    return psf / psf.sum()


if __name__ == "__main__":
    main()
