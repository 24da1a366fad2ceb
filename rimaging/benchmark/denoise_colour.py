"""Denoising of CBSD68 at sigma 25, as the paper has it: in colour, 8 bits before."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor

from rimaging.benchmark.classical_denoising import bm3d, has_bm3d
from rimaging.benchmark.photographs import colour_set, noise
from rimaging.benchmark.table import Table, number
from rimaging.operators.clipped import Clipped
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.reports.metrics import psnr
from rimaging.rim.rim import RIM
from rimaging.rim.weights import load_weights

SIGMA = 25 / 255
WEIGHTS = "denoise-colour"
BESIDE = 2
"""Images that BM3D is run on: it takes most of a minute for each."""

PUBLISHED = (
    ("CBM3D (published in the slides)", "30.18", "–"),
    ("RIM 2017 (published)", "30.84", "–"),
    ("DnCNN (published)", "–", "31.24"),
    ("DRUNet, 32.7 M (published)", "–", "31.69"),
)


def table(data: Path, limit: int | None = None) -> Table:
    """PSNR of colour denoising by the weights for three channels, of the first ``limit`` images."""
    images = colour_set(data, limit)
    rim, _ = load_weights(WEIGHTS)
    said = "RIM (ours)"
    rows = [[name, *values, "–"] for name, *values in PUBLISHED]
    started = time.perf_counter()
    cells = [
        number(sum(score(rim, x, i, quantised) for i, x in enumerate(images)) / len(images))
        for quantised in (True, False)
    ]
    rows.append([said, *cells, number((time.perf_counter() - started) / (2 * len(images)))])
    if has_bm3d():
        few = images[:BESIDE]
        for title, solve in (("CBM3D", None), (said, rim)):
            cells = [
                number(sum(score(solve, x, i, quantised) for i, x in enumerate(few)) / len(few))
                for quantised in (True, False)
            ]
            rows.append([f"{title}, first {len(few)} images", *cells, "–"])
    protocol = [
        f"CBSD68 ({len(images)} images), RGB 8 bit; white noise of sigma 25 added in float.",
        "8 bit: the noisy image is rounded and clipped to 0..255 before the reconstruction; "
        "the likelihood of the RIM is that of clipped noise.",
        "PSNR in dB, peak 255, over all three channels of an image, then the mean; not clipped.",
    ]
    return Table(
        "Denoising CBSD68 in colour", protocol, ["method", "8 bit", "float", "seconds"], rows
    )


def score(rim: RIM | None, image: Tensor, index: int, quantised: bool) -> float:
    """PSNR of one image, by a RIM, or without one by BM3D."""
    noisy = image + SIGMA * noise(image.shape, 6000 + index)
    if quantised:
        noisy = (255 * noisy).round().clamp(0, 255) / 255
    if rim is None:
        return psnr(image, bm3d(noisy, SIGMA), 1.0)
    identity = Identity(image.shape[-2:])
    likelihood = Gaussian(identity, noisy, SIGMA)
    if quantised:
        likelihood = Clipped(identity, noisy, SIGMA)
    with torch.inference_mode():
        estimate: Tensor = rim(likelihood)[-1]
    return psnr(image, estimate, 1.0)
