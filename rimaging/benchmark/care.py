"""Content-aware restoration of fluorescence microscopy: real noise, from pairs alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from rimaging.benchmark.classical_denoising import (
    bm3d,
    has_bm3d,
    non_local_means,
    stabilised,
    unstabilised,
)
from rimaging.benchmark.contest import (
    TUNING_NOTE,
    Case,
    Entry,
    contest,
    hand_made,
    ours,
    pictures_of,
)
from rimaging.benchmark.table import Table, publish
from rimaging.datasets.photon_noise import estimate_photon_noise
from rimaging.datasets.simulate.microscopy import Pair, fit, pairs
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.reports.figures import strip
from rimaging.reports.metrics import psnr, ssim


def main(data: Path, weights: str, limit: int | None = None, out: Path | None = None) -> None:
    """Print PSNR and SSIM on the test fields of W2S (the first ``limit`` of each channel).

    Raises FormatError where data are absent, WeightsError for weights that cannot be loaded.
    """
    found = pairs(data, "test")
    columns = {
        f"channel {c}": [case(p) for p in found if p.name.endswith(f"_{c}")][:limit]
        for c in range(3)
    }
    first = columns["channel 0"][0]
    entries = [
        Entry("one exposure", lambda case, _: case.likelihood.y),
        Entry("non-local means", by_neighbours, 0.3, 1.5),
        *([Entry("BM3D", by_bm3d, 0.5, 2.0)] if has_bm3d() else []),
        *hand_made(),
        ours(weights, first),
        ours(weights, first, eight=True),
    ]
    protocol = [
        f"W2S, test fields, {sum(map(len, columns.values()))} images of 512 x 512, 8 bit; truth: "
        "the mean of 400 exposures of the same field.",
        "PSNR / SSIM after a fit of gain and offset of estimates to the truth, peak 255 (both "
        "copies were stretched to 0..255 by themselves).",
        "Noise, for all methods: variance = gain x signal + offset, from the one exposure itself.",
        "Non-local means (scikit-image) and BM3D (PyPI, its authors') work on the image after a "
        "generalised Anscombe transform; their strength is tuned.",
        TUNING_NOTE,
    ]
    rows = contest(columns, entries)
    title = "Content-aware restoration"
    table = Table(title, protocol, ["method", *columns, "seconds"], rows)
    print(table.text(), flush=True)
    if out is not None:
        shown = {k: fit(x, first.truth) for k, x in pictures_of(first, entries).items()}
        publish("care", [table], {"first": strip(shown, "image", first.truth)}, out)


def case(pair: Pair) -> Case:
    """A pair as a likelihood with its map of noise; judged in the units of the clean image."""
    low, high = pair.clean.aminmax()
    clean = (pair.clean - low) / (high - low)  # stretched to 0..1 as it was published
    likelihood = Gaussian(Identity(pair.noisy.shape), pair.noisy, pair.sigma)
    return Case(likelihood, clean, judge(clean))


def judge(clean: Tensor) -> Callable[[Tensor], tuple[float, ...]]:
    """PSNR and SSIM after the fit."""

    def score(estimate: Tensor) -> tuple[float, ...]:
        fitted = fit(estimate, clean)
        return psnr(clean, fitted, 1.0), ssim(clean, fitted, 1.0)

    return score


def by_neighbours(case: Case, strength: float) -> Tensor:
    """Non-local means where the noise is one everywhere."""
    photons = estimate_photon_noise(case.likelihood.y)
    image = stabilised(case.likelihood.y, photons)
    return unstabilised(non_local_means(image, 1.0, strength), photons)


def by_bm3d(case: Case, strength: float) -> Tensor:
    """BM3D where the noise is one everywhere."""
    photons = estimate_photon_noise(case.likelihood.y)
    image = stabilised(case.likelihood.y, photons)
    return unstabilised(bm3d(image, strength), photons)
