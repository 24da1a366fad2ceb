"""A sky that is made up, of any size: its pixels, its file, its PSF."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def starfield(shape: tuple[int, ...]) -> dict[str, Any]:
    from rimaging.mosaic.generated import describe_starfield

    channels, height, width = shape
    return describe_starfield((channels, height, width), fwhm=3.5, cell=96)


def store(shape: tuple[int, ...], path: Path) -> None:
    """The sky as a FITS file, as others write them: big-endian, in one piece."""
    from astropy.io import fits

    from rimaging.mosaic.sources import open_source

    channels, height, width = shape
    read = open_source(starfield(shape)).read
    rows = max(1, (1 << 24) // width)
    header = fits.PrimaryHDU().header
    header["BITPIX"], header["NAXIS"] = -32, 3
    for axis, size in enumerate((width, height, channels), 1):
        header.insert("EXTEND", (f"NAXIS{axis}", size))
    with fits.StreamingHDU(path, header) as file:
        for channel in range(channels):
            for top in range(0, height, rows):
                part = (slice(top, min(top + rows, height)), slice(0, width))
                file.write(read((slice(channel, channel + 1), *part)).astype(">f4"))


def psf_of(shape: tuple[int, ...], *, per_channel: bool, varying: bool) -> Any:
    """A Gaussian of 3.5 pixels; or one for each channel; or one that changes over the image."""
    import numpy as np
    import torch

    from rimaging.datasets.varying_psf import Polynomial, VaryingPsf
    from rimaging.operators.target import gaussian_psf

    if per_channel:
        return np.stack([gaussian_psf(3.5).numpy()] * shape[0])
    if not varying:
        return 3.5
    psf = gaussian_psf(3.5)
    line = torch.arange(len(psf)) - len(psf) // 2
    y, x = torch.meshgrid(line, line, indexing="ij")
    # a polynomial of the second degree, as PSFEx fits it: six images
    terms = [psf, psf * x / 60, psf * (x**2 - y**2) / 400, psf * y / 60, psf * x * y / 400]
    terms.append(psf * (x**2 + y**2) / 400)
    half = (shape[1] / 2, shape[2] / 2)
    return VaryingPsf(torch.stack(terms).float(), Polynomial(2, half, half), "second degree")
