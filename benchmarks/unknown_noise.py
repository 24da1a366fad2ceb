"""Print how well the noise of a photograph is told where nobody states it, and what it costs.

    python benchmarks/unknown_noise.py

Photographs of BSD68 with white noise, rounded and clipped to 8 bits as a camera has them.
"""

from __future__ import annotations

import numpy as np
import torch

from rimaging import image
from rimaging.benchmark.photographs import gray_set
from rimaging.benchmark.table import Table
from rimaging.datasets.data_card import data_root
from rimaging.datasets.noise import estimate_image_noise
from rimaging.image.noise import estimate_clipped_noise
from rimaging.reports.metrics import psnr

LEVELS = (2, 5, 10, 15, 25, 50)
COUNT = 12


def main() -> None:
    """Print the ratio of found to true noise, and the PSNR with noise that is given and found."""
    from skimage.restoration import estimate_sigma

    rows = []
    for level in LEVELS:
        ratios: dict[str, list[float]] = {"ours": [], "differences": [], "wavelets": []}
        quality: dict[str, list[float]] = {"given": [], "found": []}
        for index, truth in enumerate(gray_set(data_root(), "bsd68_gray", COUNT)):
            white = torch.randn(truth.shape, generator=torch.Generator().manual_seed(index))
            seen = (255 * truth + level * white).round().clamp(0, 255)
            ratios["ours"].append(estimate_clipped_noise(seen, None, (0, 255)) / level)
            ratios["differences"].append(estimate_image_noise(seen) / level)
            ratios["wavelets"].append(float(estimate_sigma(seen.numpy())) / level)
            photograph = seen.numpy().astype(np.uint8)
            for name, sigma in (("given", float(level)), ("found", None)):
                restored = torch.as_tensor(image.denoise(photograph, sigma).image)
                quality[name].append(psnr(truth, restored / 255, 1.0))
        spread = [_spread(ratios[name]) for name in ("ours", "differences", "wavelets")]
        means = [f"{np.mean(quality[name]):.2f}" for name in ("given", "found")]
        rows.append([str(level), *spread, *means])
    protocol = [
        f"The first {COUNT} images of BSD68, 481 x 321, gray; white Gaussian noise added in float "
        "with a fixed seed per image, then rounded and clipped to 8 bits.",
        "Found over true noise: median (least to most). Differences: the median of second "
        "differences of the whole image. Wavelets: scikit-image's `estimate_sigma`.",
        "PSNR in dB, peak 255, mean over images, of `image.denoise` with sigma given and without.",
    ]
    header = ["σ", "ours", "differences", "wavelets", "PSNR, σ given", "σ found"]
    print(Table("Noise that nobody states", protocol, header, rows).text())


def _spread(ratios: list[float]) -> str:
    return f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
