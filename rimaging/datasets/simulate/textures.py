"""Diffuse sky: nebulae of GLIMPSE and of the Horsehead plate as truths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from rimaging.datasets.data_card import Split
from rimaging.datasets.simulate.distributions import integer
from rimaging.datasets.simulate.photographs import dihedral
from rimaging.operators.target import gaussian_transfer

FILES = ("spitzer/spitzer_example_image.fits.gz", "dss/HorseHead.fits.gz")
"""M17 of 2MASS and the radio models are test data and are not among them."""

SHRINK = 3
"""Pixels averaged along each axis, against the noise and blur of the instruments."""

PARTS: dict[str, tuple[float, float]] = {
    "train": (0.0, 0.75),
    "validation": (0.77, 0.88),
    "test": (0.9, 1.0),
}
"""The rows of each image, as fractions of its height, that belong to a split."""


def nebulae(folder: Path, split: Split) -> list[Tensor]:
    """Background-subtracted images, shrunk, in units of their 99th percentile.

    Images that are absent or unreadable below ``folder`` are left out.
    """
    from astropy.io import fits

    found = []
    for name in FILES:
        if not (folder / name).exists():
            continue
        image = np.asarray(fits.getdata(folder / name), dtype=np.float64)
        low, high = PARTS[split]
        image = image[int(low * image.shape[0]) : int(high * image.shape[0])]
        image = np.nan_to_num(image, nan=float(np.nanmedian(image)))
        image = image - np.percentile(image, 1)
        image = np.clip(image / np.percentile(image, 99), -0.1, 5)
        tensor = torch.from_numpy(image.astype(np.float32))[None, None]
        found.append(functional.avg_pool2d(tensor, SHRINK)[0, 0])
    return found


def nebula(images: list[Tensor], generator: torch.Generator, size: int, fwhm: float) -> Tensor:
    """A random piece (size, size), seen by a Gaussian PSF; mirrored where the image ends."""
    image = images[integer(0, len(images) - 1, generator)]
    window = [min(size, side) for side in image.shape]
    top, left = (
        integer(0, side - w, generator) for side, w in zip(image.shape, window, strict=True)
    )
    piece = image[top : top + window[0], left : left + window[1]]
    for axis in (0, 1):
        while piece.shape[axis] < size:
            piece = torch.cat([piece, piece.flip(axis)], axis).narrow(
                axis, 0, min(size, 2 * piece.shape[axis])
            )
    # The crop is mirrored once more, so that the circular blur has no seam.
    twice = torch.cat([piece, piece.flip(0)])
    twice = torch.cat([twice, twice.flip(1)], 1)
    transfer = gaussian_transfer(fwhm, torch.fft.fftfreq(2 * size), torch.fft.rfftfreq(2 * size))
    blurred = torch.fft.irfft2(torch.fft.rfft2(twice) * transfer, s=(2 * size, 2 * size))
    return dihedral(blurred[:size, :size], integer(0, 7, generator))
