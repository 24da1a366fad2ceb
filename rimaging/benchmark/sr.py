"""Super-resolution of BSD100 by the protocol of the paper: luma, a border shaved, 8 bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from rimaging.benchmark.contest import (
    BESIDE,
    TUNING_NOTE,
    Case,
    Entry,
    contest,
    hand_made,
    ours,
    pictures_of,
)
from rimaging.benchmark.photographs import mapping
from rimaging.benchmark.table import Table, publish
from rimaging.datasets.picture import read_picture
from rimaging.image.doors import LONG
from rimaging.image.methods import Task
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.resampling import Bicubic, enlarge
from rimaging.reports.figures import strip
from rimaging.reports.metrics import luma, psnr

SCALES = (2, 3, 4)
SIGMA = 0.4 / 255
"""What the methods are told of the noise: about that of 8 bits and of the luma's rounding."""

PUBLISHED = (
    ("bicubic (published)", ("29.55 / .8425", "27.20 / .7382", "25.96 / .6672")),
    ("SRCNN (published)", ("31.11 / .8835", "28.20 / .7794", "26.70 / .7018")),
    ("A+ (published)", ("31.22 / .8862", "28.30 / .7836", "26.82 / .7089")),
    ("RIM 2017 (published)", ("31.39 / .8885", "28.51 / .7888", "27.01 / .7156")),
    ("IMDN, 0.7 M (published)", ("32.19", "29.09", "27.56")),
)
"""PSNR / SSIM; the slides of Putzky & Welling, and IMDN's paper, trained on 800 larger images."""


def main(data: Path, weights: str, limit: int | None = None, out: Path | None = None) -> None:
    """Print PSNR and SSIM on BSD100 (or its first ``limit`` images); write to ``out``.

    Raises FormatError where data are absent, WeightsError for weights that cannot be loaded.
    """
    columns = {f"x{scale}": cases(data, scale, limit) for scale in SCALES}
    first = columns["x3"][0]
    entries = [
        Entry("bicubic", bicubic),
        *hand_made(),
        ours(weights, first),
    ]
    protocol = [
        f"BSD100, {len(columns['x3'])} images; low resolution as published with SelfExSR (MATLAB "
        "imresize, antialiased, 8 bit RGB).",
        "Luma Y of BT.601 in 16..235, rounded to 8 bits before and after; a border of s pixels "
        "shaved; peak 255; mean over images.",
        "PSNR / SSIM (11 x 11 Gaussian window, as Wang's ssim_index); bicubic over all 100 images "
        "must give 29.55, 27.20, 25.96.",
        TUNING_NOTE,
    ]
    published = [[name, *cells, "–"] for name, cells in PUBLISHED]
    rows = [*published, *contest(columns, entries, BESIDE)]
    table = Table("Super-resolution", protocol, ["method", *columns, "seconds"], rows)
    print(table.text(), flush=True)
    if out is not None:
        shown = pictures_of(first, entries[:4])
        publish("sr", [table], {"x3": strip(shown, "image", first.truth)}, out)


def cases(data: Path, scale: int, limit: int | None = None) -> list[Case]:
    """Pairs of low resolution and truth, in luma."""
    found = []
    names = sorted(mapping(data)["bsd100_img_index_to_bsds_id"].items())[:limit]
    for index, identity in names:
        (file,) = (data / "natural/sr_lr" / f"bsd100_x{scale}").glob(f"{index}*.png")
        low = eight_bit(_luma(read_picture(file).data))
        truth = read_picture(data / "natural/bsds300_test" / f"{identity}.jpg").data
        height, width = (scale * n for n in low.shape)
        truth = eight_bit(_luma(truth[..., :height, :width]))
        task = Task(turns=LONG, last=scale / 255, enlarged=scale**2)
        likelihood = Gaussian(Bicubic((height, width), scale), low, SIGMA)
        found.append(Case(likelihood, truth, judge(truth, scale), task))
    return found


def judge(truth: Tensor, shave: int) -> Callable[[Tensor], tuple[float, ...]]:
    """PSNR and SSIM of the estimate in 8 bits."""

    def score(estimate: Tensor) -> tuple[float, ...]:
        rounded = eight_bit(estimate)
        return psnr(truth, rounded, 1.0, shave), gaussian_ssim(truth, rounded, shave)

    return score


def gaussian_ssim(truth: Tensor, estimate: Tensor, shave: int) -> float:
    """SSIM with the Gaussian window of its authors, over where that window fits.

    Source: Wang et al., IEEE TIP 13, 600 (2004).
    """
    from skimage.metrics import structural_similarity

    inner = (slice(shave, -shave or None),) * 2
    return float(
        structural_similarity(
            truth[inner].double().numpy(),
            estimate[inner].double().numpy(),
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def eight_bit(image: Tensor) -> Tensor:
    """Rounded to 8 bits and clipped."""
    return (255 * image).round().clamp(0, 255) / 255


def bicubic(case: Case, _: float) -> Tensor:
    """What everybody compares with."""
    operator = case.likelihood.operator
    assert isinstance(operator, Bicubic)
    return enlarge(case.likelihood.y, operator.scale)


def _luma(picture: Tensor) -> Tensor:
    return luma(picture.double()).to(torch.float32)
