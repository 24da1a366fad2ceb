"""Draw docs/images/correlated-noise.png: a drizzled sky, its noise taken as white and as found.

    python benchmarks/correlated_noise.py

The Hubble Deep Field of scikit-image (public domain) as the sky, seen by a Moffat PSF of 3.5 px,
with noise whose neighbours correlate as in Hubble's drizzled mosaics. Prints the error of each.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from rimaging import astro
from rimaging.datasets.noise import estimate_image_noise
from rimaging.operators.convolution import Convolution
from rimaging.operators.correlated import NoiseCorrelation
from rimaging.operators.target import relative_kernel
from rimaging.reports.figures import strip
from rimaging.reports.metrics import psnr

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "correlated-noise.png"
STENCIL = torch.tensor([0.25, 1.0, 0.25])
PSF = "moffat:3.5"
SIGMA = 6.0
SIDE = 192


def main() -> None:
    from skimage import data

    truth = torch.from_numpy(data.hubble_deep_field().mean(-1).astype("float32"))[400:, 120:]
    truth = truth[:SIDE, :SIDE].contiguous()
    kernel = relative_kernel(astro.as_psf(PSF), astro.TARGET)
    correlation = NoiseCorrelation.of(STENCIL[:, None] * STENCIL[None, :])
    white = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    seen = Convolution(kernel, (SIDE, SIDE), "reflect")(truth) + SIGMA * correlation.coloured(white)
    guessed = estimate_image_noise(seen)
    shown: dict[str, Tensor] = {
        "data": seen,
        f"white noise of {guessed:.1f}": torch.as_tensor(
            astro.deconvolve(seen, PSF, guessed).image
        ),
        "as it is found": torch.as_tensor(astro.deconvolve(seen, PSF).image),
    }
    PICTURE.write_bytes(strip(shown, "sky", truth))
    for name, picture in shown.items():
        print(f"{name}: PSNR {psnr(truth, picture, float(truth.max())):.2f} dB")


if __name__ == "__main__":
    main()
