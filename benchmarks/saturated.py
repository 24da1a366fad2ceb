"""Print what deblurring leaves where lights are beyond white, and where nothing is.

    python benchmarks/saturated.py

Photographs of BSD68 seen through Levin's kernels, rounded and clipped to 8 bits as a camera does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from rimaging import image
from rimaging.benchmark.deblur import levin
from rimaging.benchmark.photographs import gray_set
from rimaging.benchmark.table import Table
from rimaging.datasets.data_card import data_root
from rimaging.operators.convolution import Convolution
from rimaging.reports.metrics import psnr

COUNT, SIGMA, LIGHTS = 8, 2.0, 12


def main() -> None:
    """Print PSNR of what a screen shows of the restored scene."""
    scenes: dict[str, Callable[[Tensor, np.random.Generator], Tensor]] = {
        "as it is": lambda truth, _: truth,
        f"with {LIGHTS} lights": lights,
        "exposed 1.8 times longer": lambda truth, _: 1.8 * truth,
    }
    rows = []
    kernels = levin(data_root())
    for name, scene in scenes.items():
        found: dict[str, list[float]] = {key: [] for key in ("white", "blur", "tv", "all", "ours")}
        for index, photograph in enumerate(gray_set(data_root(), "bsd68_gray", COUNT)):
            random = np.random.default_rng(index)
            truth, kernel = scene(255 * photograph, random), kernels[index % len(kernels)]
            seen = Convolution(kernel, truth.shape, "reflect")(truth).numpy()
            seen = (seen + SIGMA * random.standard_normal(seen.shape)).round().clip(0, 255)
            shown = truth.clamp(0, 255)
            for key, restored in {
                "blur": seen,
                "tv": image.deblur(seen.astype(np.float32), kernel, SIGMA, method="tv").image,
                "all": image.deblur(seen.astype(np.float32), kernel, SIGMA).image,
                "ours": image.deblur(seen.astype(np.uint8), kernel, SIGMA).image,
            }.items():
                values = torch.from_numpy(np.asarray(restored, dtype=np.float32)).clamp(0, 255)
                found[key].append(psnr(shown, values, 255.0))
            found["white"].append(100 * float((seen == 255).mean()))
        share = f"{np.mean(found.pop('white')):.1f} %"
        rows.append([name, share, *(f"{np.mean(values):.2f}" for values in found.values())])
    protocol = [
        f"The first {COUNT} images of BSD68, 481 x 321, gray, Levin's kernels in turn, mirrored "
        f"edges, white noise of {SIGMA:g} of 255, given; then rounded and clipped to 8 bits.",
        f"Lights: {LIGHTS} discs of 1 to 3 pixels radius and 1.5 to 10 times white.",
        "PSNR in dB, peak 255, mean over images, truth and estimate clipped to 0..255. Total "
        "variation and the first RIM take white for what it says; the last is the door's default.",
    ]
    header = ["scene", "white", "blurred", "TV", "RIM, white as data", "RIM"]
    print(Table("Blur and light beyond white", protocol, header, rows).text())


def lights(truth: Tensor, random: np.random.Generator) -> Tensor:
    """The scene with discs that are brighter than white."""
    rows, columns = np.mgrid[: truth.shape[0], : truth.shape[1]]
    scene = truth.numpy()
    for _ in range(LIGHTS):
        row, column = (random.integers(10, side - 10) for side in truth.shape)
        disc = np.hypot(rows - row, columns - column) < random.uniform(1, 3)
        scene = np.where(disc, random.uniform(400, 2500), scene)
    return torch.from_numpy(scene.astype(np.float32))


if __name__ == "__main__":
    main()
