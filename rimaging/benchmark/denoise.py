"""Denoising of BSD68: the RIM beside the published tables, and beside classical methods."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from rimaging.benchmark import denoise_colour
from rimaging.benchmark.classical_denoising import bm3d, has_bm3d, non_local_means
from rimaging.benchmark.table import Table, number, publish
from rimaging.datasets.picture import read_picture
from rimaging.datasets.simulate.photographs import bsds300
from rimaging.errors import FormatError
from rimaging.operators.clipped import Clipped
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.reports.figures import strip
from rimaging.reports.metrics import psnr
from rimaging.rim.ensemble import ensemble
from rimaging.rim.rim import RIM
from rimaging.rim.weights import count_parameters, load_weights
from rimaging.solvers.iterative_map import iterative_map
from rimaging.solvers.primal_dual_tv import primal_dual_tv
from rimaging.solvers.tuning import tune

SIGMAS = (15, 25, 50)
PEAK = 255.0
BESIDE = 3
"""How many images classical methods are run on: they are slow, and tuned on the truth."""

Denoiser = Callable[[Tensor, float], Tensor]

PUBLISHED = (
    ("BM3D (published)", (31.08, 28.57, 25.62), "0"),
    ("RIM 2017 (published)", (31.31, 28.91, 26.06), "–"),
    ("DnCNN (published)", (31.73, 29.23, 26.23), "–"),
    ("DRUNet (published)", (31.91, 29.48, 26.59), "32.7 M"),
    ("SwinIR (published)", (31.97, 29.50, 26.58), "12 M"),
)
"""PSNR at sigma 15, 25 and 50, and parameters: Putzky & Welling 2017; SwinIR, tables 5 and 6."""

QUANTISED = (("RIM 2017 (published)", (31.25, 28.76, 25.27), "–"),)
"""The same of 8-bit data, Putzky & Welling 2017."""

QUANTISED_100 = (("RIM 2017 (published)", (31.05, 28.58, 25.14), "–"),)
"""The same of 8-bit data of the 100 test images of BSD300."""

Published = tuple[tuple[str, tuple[float, float, float], str], ...]


def main(data: Path, weights: str, limit: int | None = None, out: Path | None = None) -> None:
    """Print PSNR on BSD68 (or its first ``limit`` images); write table and pictures to ``out``.

    Raises FormatError where the images are absent, WeightsError for weights that cannot be loaded.
    """
    files = sorted((data / "natural" / "bsd68_gray").glob("*.png"))[:limit]
    if not files:
        raise FormatError("no images in natural/bsd68_gray below the root of the data: check it")
    rim, _ = load_weights(weights)
    images = [gray(file) for file in files]
    hundred = [image.float() for image in bsds300(data, "test")][:limit]
    few = "" if limit is None else ", the first of them"
    name = "BSD68"
    said = f"{name}, gray 8-bit PNG (Roth & Black; FFDNet's copies), {len(images)} images{few}"
    tables = [
        set_table(name, said, rim, images, PUBLISHED, quantised=False),
        set_table(name, said, rim, images, QUANTISED, quantised=True),
    ]
    name = "the test images of BSD300"
    said = f"{name}, gray as BSD68, {len(hundred)} images{few}"
    tables.append(set_table(name, said, rim, hundred, QUANTISED_100, quantised=True))
    table, pictures = beside_classical(rim, images[:BESIDE])
    tables.append(table)
    print(table.text(), end="\n\n", flush=True)
    tables.append(denoise_colour.table(data, limit))
    print(tables[-1].text(), flush=True)
    publish("denoise", tables, pictures, out)


def set_table(
    name: str,
    said: str,
    rim: RIM,
    images: list[Tensor],
    published: Published,
    *,
    quantised: bool,
) -> Table:
    """Print and return the table of a set: published figures, then ours."""
    parameters = count_parameters(rim)
    rows = [[who, *(number(v) for v in values), size, "–"] for who, values, size in published]
    scores, milliseconds = evaluate(rim, images, quantised)
    rows.append(measured_row("RIM (ours)", scores, parameters, milliseconds))
    note = "The noisy image is not quantised."
    if quantised:
        note = (
            "The noisy image is rounded to 8 bit and clipped to 0..255; so the likelihood has it."
        )
    protocol = [
        f"{said}, no crop.",
        "White Gaussian noise added in float with a fixed seed per image; sigma is given.",
        note,
        "PSNR in dB with peak 255, per image, then the mean; estimates in float, not clipped.",
        f"ms per image of {images[0].shape[1]} x {images[0].shape[0]}: wall time, "
        f"{torch.get_num_threads()} CPU thread(s), {rim.config.steps} steps.",
    ]
    columns = ["method", *(f"σ = {sigma}" for sigma in SIGMAS), "parameters", "ms"]
    title = f"Denoising {name}, " + ("8-bit data" if quantised else "not quantised")
    table = Table(title, protocol, columns, rows)
    print(table.text(), end="\n\n", flush=True)
    return table


def gray(file: Path) -> Tensor:
    """A gray picture ``(y, x)`` in 0..255."""
    return (PEAK * read_picture(file).data.squeeze(0)).round()


def add_noise(image: Tensor, sigma: float, index: int, quantised: bool = False) -> Tensor:
    """``image + n``, the noise of image ``index`` always the same; in 8 bits if ``quantised``."""
    generator = torch.Generator().manual_seed(1000 * round(sigma) + index)
    noisy = image + sigma * torch.randn(image.shape, generator=generator)
    return noisy.round().clamp(0, PEAK) if quantised else noisy


def denoise(
    rim: RIM, noisy: Tensor, sigma: float, eight: bool = False, clipped: bool = False
) -> Tensor:
    """The last estimate of the RIM, or of the mean over its eight turns."""
    likelihood = seen(noisy, sigma, clipped)
    with torch.inference_mode():
        estimate: Tensor = (ensemble(rim, likelihood) if eight else rim(likelihood))[-1][0]
    return estimate


def seen(noisy: Tensor, sigma: float, clipped: bool = False) -> Gaussian:
    """The likelihood of a noisy picture, whose noise may have been cut off at black and white."""
    identity = Identity(noisy.shape, noisy.dtype)
    if clipped:
        return Clipped(identity, noisy[None], sigma, 0.0, PEAK)
    return Gaussian(identity, noisy[None], sigma)


def evaluate(rim: RIM, images: list[Tensor], quantised: bool) -> tuple[list[float], float]:
    """Mean PSNR at each of `SIGMAS`, and the median milliseconds of one image."""
    means, seconds = [], []
    for sigma in SIGMAS:
        scores = []
        for index, image in enumerate(images):
            noisy = add_noise(image, sigma, index, quantised)
            start = time.perf_counter()
            estimate = denoise(rim, noisy, sigma, clipped=quantised)
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


def beside_classical(rim: RIM, images: list[Tensor]) -> tuple[Table, dict[str, bytes]]:
    """Classical methods and the RIM on the same noisy images, and strips of the first of them."""
    scores: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    pictures = {}
    for sigma in SIGMAS:
        noisy = [add_noise(image, sigma, index) for index, image in enumerate(images)]
        shown = {"noisy": noisy[0]}
        scores.setdefault("noisy", []).append(mean_psnr(images, noisy))
        for name, (solve, low, high) in methods(rim, sigma).items():

            def score(value: float, solve: Denoiser = solve, noisy: list[Tensor] = noisy) -> float:
                return mean_psnr(images, [solve(y, value) for y in noisy])

            best = tune(score, low, high, grid=4, refinements=2).value if high else 0.0
            start = time.perf_counter()
            estimates = [solve(y, best) for y in noisy]
            elapsed = time.perf_counter() - start
            seconds[name] = seconds.get(name, 0.0) + elapsed / (len(SIGMAS) * len(images))
            scores.setdefault(name, []).append(mean_psnr(images, estimates))
            shown[name] = estimates[0]
        pictures[f"sigma{sigma}"] = strip(
            {name: picture / PEAK for name, picture in shown.items()}, "image", images[0] / PEAK
        )
    rows = [
        [name, *map(number, values), number(1e3 * seconds[name], 0) if name in seconds else "–"]
        for name, values in scores.items()
    ]
    protocol = [
        f"The first {len(images)} image(s), not quantised, the same noisy images for all.",
        "Non-local means: scikit-image, fast mode, patches 5, distance 6. BM3D: PyPI's, by its "
        "authors. Their sigma is given.",
        "h of non-local means and the weights of TV and MAP tuned on the truth of these images.",
    ]
    columns = ["method", *(f"σ = {sigma}" for sigma in SIGMAS), "ms"]
    return Table("Denoising beside classical methods", protocol, columns, rows), pictures


def methods(rim: RIM, sigma: float) -> dict[str, tuple[Denoiser, float, float]]:
    """Each method as a function of the noisy image and its parameter, and the range of that."""
    found: dict[str, tuple[Denoiser, float, float]] = {
        "non-local means": (lambda y, h: non_local_means(y, sigma, h), 0.4, 1.2),
        "TV": (lambda y, v: primal_dual_tv(seen(y, sigma), lamda=v, iterations=80)[0], 0.1, 2.0),
        "iterative MAP (Huber)": (
            lambda y, v: iterative_map(seen(y, sigma), lamda=v, steps=80)[-1][0],
            0.1,
            2.0,
        ),
    }
    if has_bm3d():
        found["BM3D"] = (lambda y, _: bm3d(y, sigma), 0.0, 0.0)
    found["RIM (ours)"] = (lambda y, _: denoise(rim, y, sigma), 0.0, 0.0)
    found["RIM (ours), ensemble of 8"] = (lambda y, _: denoise(rim, y, sigma, True), 0.0, 0.0)
    return found


def mean_psnr(images: list[Tensor], estimates: list[Tensor]) -> float:
    """The mean over images of PSNR with peak 255."""
    pairs = zip(images, estimates, strict=True)
    return sum(psnr(image, estimate, PEAK) for image, estimate in pairs) / len(images)
