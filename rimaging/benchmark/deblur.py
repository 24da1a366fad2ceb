"""Deconvolution of photographs by Levin's eight real kernels, beside the classical methods."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
from rimaging.benchmark.photographs import gray_set, noise
from rimaging.benchmark.table import Table, publish
from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.npz import load_arrays
from rimaging.image.methods import ANY, BLUR, Task
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.reports.figures import strip
from rimaging.solvers.richardson_lucy import richardson_lucy
from rimaging.solvers.wiener import wiener

SIGMA = 2.55 / 255
SETS = {"Set12": "set12", "BSD68": "bsd68_gray"}


def main(data: Path, weights: str, limit: int | None = None, out: Path | None = None) -> None:
    """Print PSNR on Set12 and BSD68 (the first ``limit`` images of each); write to ``out``.

    With a ``limit`` all methods take so many images, else the slow ones, which are tuned, the first
    few: 68 with them are three quarters of an hour.

    Raises FormatError where data are absent, WeightsError for weights that cannot be loaded.
    """
    kernels = levin(data)
    columns = {name: cases(gray_set(data, folder, limit), kernels) for name, folder in SETS.items()}
    first = next(iter(columns.values()))[0]
    observed = Entry("blurred", lambda case, _: case.likelihood.y)
    entries = [
        observed,
        Entry("Wiener", by_wiener, 1e-4, 1e-1),
        Entry("Richardson-Lucy", by_richardson_lucy, 3, 300),
        *hand_made(),
        *(ours(name, first) for name in dict.fromkeys((ANY, weights))),
        ours(None, first),
        ours(None, first, eight=True),
    ]
    counts = ", ".join(f"{name}: {len(c)} images" for name, c in columns.items())
    protocol = [
        f"{counts}, gray, 8 bit. Levin's 8 real kernels (CVPR 2009) in turn: image i gets kernel "
        "1 + i mod 8.",
        "y = k * x + n, circular boundary, n white with sigma = 1 % of white, given; not clipped.",
        "PSNR in dB, peak 1, whole image, mean over images; estimates in float, not clipped.",
        TUNING_NOTE + " Wiener: prior spectrum |f|^-2; Richardson-Lucy: the number of iterations.",
        "None of these kernels was trained on: those of training are simulated.",
    ]
    rows = contest(columns, entries, BESIDE if limit is None else None)
    table = Table("Deconvolution", protocol, ["method", *columns, "seconds"], rows)
    print(table.text(), flush=True)
    if out is not None:
        shown = pictures_of(first, entries)
        publish("deblur", [table], {"first": strip(shown, "image", first.truth)}, out)


def levin(data: Path) -> list[Tensor]:
    """The kernels ``k1`` to ``k8``, of sum 1."""
    arrays = load_arrays(data / "kernels" / "levin09.npz")
    kernels = [to_tensor(arrays[f"k{i}"], "kernel").float() for i in range(1, 9)]
    return [kernel / kernel.sum() for kernel in kernels]


def cases(images: Sequence[Tensor], kernels: Sequence[Tensor]) -> list[Case]:
    """Each image with the next kernel, and noise of its own."""
    found = []
    for index, image in enumerate(images):
        kernel = kernels[index % len(kernels)]
        blur = Convolution(kernel, image.shape, "circular")
        y = blur(image) + SIGMA * noise(image.shape, 2000 + index)
        task = Task(weights=BLUR, kernel=kernel, boundary="circular")
        found.append(Case(Gaussian(blur, y, SIGMA), image, decibels(image), task))
    return found


def by_wiener(case: Case, ratio: float) -> Tensor:
    """Wiener under the power spectrum of photographs."""
    assert case.task.kernel is not None
    return wiener(case.likelihood.y, case.task.kernel, ratio, slope=2.0, boundary="circular")


def by_richardson_lucy(case: Case, count: float) -> Tensor:
    """Richardson-Lucy, stopped after so many iterations."""
    assert case.task.kernel is not None
    steps = max(1, round(count))
    return richardson_lucy(
        case.likelihood.y, case.task.kernel, iterations=steps, boundary="circular"
    )
