"""Filling in photographs of which half, or four fifths, of the pixels are missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from rimaging.benchmark.contest import (
    BESIDE,
    TUNING_NOTE,
    Case,
    Entry,
    contest,
    decibels,
    hand_made,
    ours,
    pictures_of,
)
from rimaging.benchmark.photographs import gray_set
from rimaging.benchmark.table import Table, publish
from rimaging.image.doors import LONG
from rimaging.image.methods import ANY, HOLES, Task
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.sampling import Sampling
from rimaging.reports.figures import strip

MISSING = (0.5, 0.8)
SIGMA = 0.5 / 255
"""What the methods are told of the noise; there is only that of 8 bits."""


def main(data: Path, weights: str, limit: int | None = None, out: Path | None = None) -> None:
    """Print PSNR on BSD68 (or its first ``limit`` images); write table and pictures to ``out``.

    With a ``limit`` all methods take so many images, else the slow ones, which are tuned, the first
    few: 68 with them are an hour.

    Raises FormatError where data are absent, WeightsError for weights that cannot be loaded.
    """
    images = gray_set(data, "bsd68_gray", limit)
    columns = {f"{100 * share:.0f} % missing": cases(images, share) for share in MISSING}
    first = list(columns.values())[-1][0]
    entries = [
        Entry("mean of the known", lambda case, _: filled(case.likelihood)),
        *hand_made(300),
        *(ours(name, first) for name in dict.fromkeys((ANY, weights))),
        ours(weights, first, eight=True),
    ]
    protocol = [
        f"BSD68, gray, 8 bit, {len(images)} images. Pixels missing at random, one fixed mask per "
        "image; no noise beside 8 bits: methods are told sigma = 0.5.",
        "PSNR in dB, peak 1, whole image with its known pixels, mean over images; not clipped.",
        TUNING_NOTE,
    ]
    rows = contest(columns, entries, BESIDE if limit is None else None)
    table = Table("Inpainting", protocol, ["method", *columns, "seconds"], rows)
    print(table.text(), flush=True)
    if out is not None:
        shown = {"known": first.likelihood.y, **pictures_of(first, entries[1:])}
        publish("inpaint", [table], {"first": strip(shown, "image", first.truth)}, out)


def cases(images: Sequence[Tensor], share: float) -> list[Case]:
    """Each image with its own mask."""
    found = []
    for index, image in enumerate(images):
        generator = torch.Generator().manual_seed(3000 + index)
        known = (torch.rand(image.shape, generator=generator) >= share).float()
        hidden = Sampling(known)
        likelihood = Gaussian(hidden, hidden(image), SIGMA)
        found.append(Case(likelihood, image, decibels(image), Task(weights=HOLES, turns=LONG)))
    return found


def filled(likelihood: Gaussian) -> Tensor:
    """The known pixels, and their mean elsewhere."""
    measured = likelihood.operator.measured
    assert measured is not None
    mean = likelihood.y.sum() / measured.sum()
    return likelihood.y + (1 - measured) * mean
