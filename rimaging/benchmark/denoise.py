"""Denoising of BSD68: the RIM beside the published tables, and beside non-local means."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor

from rimaging.benchmark.table import Table, number, publish
from rimaging.datasets.picture import read_picture
from rimaging.errors import FormatError
from rimaging.operators.identity import Identity
from rimaging.operators.likelihood import Gaussian
from rimaging.reports.figures import strip
from rimaging.reports.metrics import psnr
from rimaging.rim.rim import RIM
from rimaging.rim.weights import count_parameters, load_weights
from rimaging.solvers.tuning import tune

SIGMAS = (15, 25, 50)
PEAK = 255.0
NEIGHBOURS = 3
"""How many images non-local means is run on: it is slow, and tuned on the truth."""

PUBLISHED = (
    ("BM3D (published)", (31.08, 28.57, 25.62), "0"),
    ("RIM 2017 (published)", (31.31, 28.91, 26.06), "–"),
    ("DnCNN (published)", (31.73, 29.23, 26.23), "–"),
    ("DRUNet (published)", (31.91, 29.48, 26.59), "32.7 M"),
    ("SwinIR (published)", (31.97, 29.50, 26.58), "12 M"),
)
"""PSNR at sigma 15, 25 and 50, and parameters: Putzky & Welling 2017; SwinIR, tables 5 and 6."""


def main(data: Path, weights: str, limit: int | None = None, out: Path | None = None) -> None:
    """Print PSNR on BSD68 (or its first ``limit`` images); write table and pictures to ``out``.

    Raises FormatError where the images are absent, WeightsError for weights that cannot be loaded.
    """
    files = sorted((data / "natural" / "bsd68_gray").glob("*.png"))[:limit]
    if not files:
        raise FormatError("no images in natural/bsd68_gray below the root of the data: check it")
    rim, _ = load_weights(weights)
    images = [gray(file) for file in files]
    share = f"the first {len(images)} of the" if limit is not None else f"all {len(images)}"
    protocol = [
        f"BSD68, gray 8-bit PNG (Roth & Black; FFDNet's copies), {share} images, no crop.",
        "White Gaussian noise added in float with a fixed seed per image; sigma is given.",
        "PSNR in dB with peak 255, per image, then the mean; estimates in float, not clipped.",
        f"ms per image of {images[0].shape[1]} x {images[0].shape[0]}: wall time, "
        f"{torch.get_num_threads()} CPU thread(s), {rim.config.steps} steps.",
    ]
    tables = []
    for quantised in (False, True):
        scores, milliseconds = evaluate(rim, images, quantised)
        said = "rounded to 8 bit and clipped to 0..255 before" if quantised else "not quantised in"
        rows = [measured_row("RIM (ours)", scores, count_parameters(rim), milliseconds)]
        if not quantised:
            published = [
                [name, *(number(value) for value in values), parameters, "–"]
                for name, values, parameters in PUBLISHED
            ]
            rows = [*published, *rows]
        title = "Denoising BSD68, " + ("8-bit data" if quantised else "not quantised")
        columns = ["method", *(f"σ = {sigma}" for sigma in SIGMAS), "parameters", "ms"]
        note = f"The noisy image is {said} the reconstruction."
        tables.append(Table(title, [*protocol, note], columns, rows))
        print(tables[-1].text(), end="\n\n", flush=True)
    table, pictures = beside_neighbours(rim, images[:NEIGHBOURS])
    tables.append(table)
    print(table.text(), flush=True)
    publish("denoise", tables, pictures, out)


def gray(file: Path) -> Tensor:
    """A gray picture ``(y, x)`` in 0..255."""
    return (PEAK * read_picture(file).data.squeeze(0)).round()


def add_noise(image: Tensor, sigma: float, index: int, quantised: bool = False) -> Tensor:
    """``image + n``, the noise of image ``index`` always the same; in 8 bits if ``quantised``."""
    generator = torch.Generator().manual_seed(1000 * round(sigma) + index)
    noisy = image + sigma * torch.randn(image.shape, generator=generator)
    return noisy.round().clamp(0, PEAK) if quantised else noisy


def denoise(rim: RIM, noisy: Tensor, sigma: float) -> Tensor:
    """The last estimate of the RIM."""
    operator = Identity((noisy.shape[-2], noisy.shape[-1]), noisy.dtype)
    with torch.inference_mode():
        estimate: Tensor = rim(Gaussian(operator, noisy[None], sigma))[-1][0]
    return estimate


def evaluate(rim: RIM, images: list[Tensor], quantised: bool) -> tuple[list[float], float]:
    """Mean PSNR at each of `SIGMAS`, and the median milliseconds of one image."""
    means, seconds = [], []
    for sigma in SIGMAS:
        scores = []
        for index, image in enumerate(images):
            noisy = add_noise(image, sigma, index, quantised)
            start = time.perf_counter()
            estimate = denoise(rim, noisy, sigma)
            seconds.append(time.perf_counter() - start)
            scores.append(psnr(image, estimate, PEAK))
        means.append(sum(scores) / len(scores))
    return means, 1e3 * sorted(seconds)[len(seconds) // 2]


def measured_row(
    name: str, scores: list[float], parameters: int | None, milliseconds: float
) -> list[str]:
    """A row of the main table."""
    count = "0" if parameters is None else f"{parameters / 1e6:.2f} M"
    return [name, *(number(score) for score in scores), count, number(milliseconds, 0)]


def beside_neighbours(rim: RIM, images: list[Tensor]) -> tuple[Table, dict[str, bytes]]:
    """Non-local means and the RIM on the same noisy images, and strips of the first of them."""
    noisy_row, neighbours_row, rim_row = [], [], []
    pictures = {}
    seconds = [0.0, 0.0]
    for sigma in SIGMAS:
        noisy = [add_noise(image, sigma, index) for index, image in enumerate(images)]

        def score(h: float, noisy: list[Tensor] = noisy, sigma: float = sigma) -> float:
            estimates = [non_local_means(y, sigma, h) for y in noisy]
            return mean_psnr(images, estimates)

        best = tune(score, 0.4, 1.2, grid=4, refinements=0).value
        start = time.perf_counter()
        neighbours = [non_local_means(y, sigma, best) for y in noisy]
        middle = time.perf_counter()
        ours = [denoise(rim, y, sigma) for y in noisy]
        seconds[0] += middle - start
        seconds[1] += time.perf_counter() - middle
        noisy_row.append(mean_psnr(images, noisy))
        neighbours_row.append(mean_psnr(images, neighbours))
        rim_row.append(mean_psnr(images, ours))
        shown = {"noisy": noisy[0], "non-local means": neighbours[0], "RIM": ours[0]}
        pictures[f"sigma{sigma}"] = strip(
            {name: picture / PEAK for name, picture in shown.items()}, "image", images[0] / PEAK
        )
    each = [1e3 * s / (len(SIGMAS) * len(images)) for s in seconds]
    rows = [
        ["noisy", *(number(value) for value in noisy_row), "–"],
        ["non-local means", *(number(value) for value in neighbours_row), number(each[0], 0)],
        ["RIM (ours)", *(number(value) for value in rim_row), number(each[1], 0)],
    ]
    protocol = [
        f"The first {len(images)} image(s), not quantised, the same noisy images for both.",
        "Non-local means: scikit-image, fast mode, patches 5, distance 6, sigma given, h tuned on "
        "the truth.",
    ]
    columns = ["method", *(f"σ = {sigma}" for sigma in SIGMAS), "ms"]
    return Table("Denoising beside non-local means", protocol, columns, rows), pictures


def mean_psnr(images: list[Tensor], estimates: list[Tensor]) -> float:
    """The mean over images of PSNR with peak 255."""
    pairs = zip(images, estimates, strict=True)
    return sum(psnr(image, estimate, PEAK) for image, estimate in pairs) / len(images)


def non_local_means(noisy: Tensor, sigma: float, h: float) -> Tensor:
    """Non-local means of scikit-image with filter strength ``h sigma``."""
    from skimage.restoration import denoise_nl_means

    estimate = denoise_nl_means(
        noisy.numpy(), patch_size=5, patch_distance=6, h=h * sigma, sigma=sigma, fast_mode=True
    )
    return torch.from_numpy(estimate).to(noisy.dtype)
