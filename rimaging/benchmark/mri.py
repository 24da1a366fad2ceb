"""Undersampled multi-coil MRI, real and simulated: the RIM beside the methods of sigpy and BART."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from rimaging.benchmark import bart
from rimaging.benchmark.baselines import Row, magnitude, mri_baselines
from rimaging.benchmark.held_out import Kept, kept_scores
from rimaging.benchmark.ours import OURS, PROTOCOL, answers
from rimaging.benchmark.prospective import PROSPECTIVE, held_back_table, picture, prospective
from rimaging.benchmark.scans import BRAIN, PATTERNS, SIDE, Scan, real, simulated
from rimaging.benchmark.table import Table, number, publish
from rimaging.datasets.coil_maps import CROP
from rimaging.datasets.kspace_noise import estimate_kspace_noise
from rimaging.errors import FormatError
from rimaging.mri.adaptation import ITERATIONS
from rimaging.reports.figures import strip
from rimaging.reports.metrics import psnr, ssim
from rimaging.rim.rim import RIM
from rimaging.rim.weights import load_weights

SEARCH = (5, 3)
"""Points and refinements of the search for lambda: four decades within a tenth of a dB."""

REAL = (("lines4", 2), ("poisson4", 2), ("poisson8", 2), ("lines4", 1))
"""Pattern and number of map sets of the studies on the real brain."""

SLICES = 3
WAVELET = 100
"""Iterations of wavelets and total variation."""
SHOWN = ("zero-filled", "CG-SENSE", "L1-wavelet (sigpy)", "TV (sigpy)", "wavelet (BART)", OURS)


@dataclass(frozen=True)
class Study:
    """The rows of one scan, and pictures of them by method."""

    rows: list[Row]
    reference: Tensor
    sigma: float
    seconds: float
    pictures: dict[str, Tensor] = field(default_factory=dict)
    kept: dict[str, Kept] = field(default_factory=dict)


def main(data: Path, weights: str, limit: int | None = None, out: Path | None = None) -> None:
    """Print the tables, of the first ``limit`` scans if given; write tables, pictures to ``out``.

    Scans are studied two at a time where there are two cores, each on one thread. The first is the
    real brain, 4x by lines; simulated ones come last, then the prospective scan (not with a limit).

    Raises FormatError where the data are absent, WeightsError for weights that cannot be loaded.
    """
    if not (data / BRAIN).is_file():
        raise FormatError(f"no {BRAIN} below the root of the data: check it")
    load_weights(weights)
    names = [f"{pattern} {sets}" for pattern, sets in REAL]
    names = [*names, *(f"slice {index}" for index in range(SLICES))][:limit]
    tables, pictures = [], {}
    slices: list[Study] = []
    for name, study in zip(names, studies(names, data, weights), strict=True):
        kind, _, number_of = name.partition(" ")
        if kind == "slice":
            slices.append(study)
        else:
            tables.append(real_table(kind, int(number_of), study))
            print(tables[-1].text(), end="\n\n", flush=True)
        shown = {method: study.pictures[method] for method in SHOWN if method in study.pictures}
        pictures[name.replace(" ", "-")] = strip(shown, "kspace", study.reference)
    if slices:
        tables.append(simulated_table(slices))
        print(tables[-1].text(), end="\n\n", flush=True)
    if limit is None and (data / PROSPECTIVE).is_file():
        rim, _ = load_weights(weights)
        scan = prospective(data)
        tables.append(held_back_table(scan, rim, WAVELET, SEARCH, ITERATIONS))
        print(tables[-1].text(), end="\n\n", flush=True)
        pictures["prospective"] = picture(scan, rim)
    publish("mri", tables, pictures, out)


def studies(names: list[str], data: Path, weights: str) -> Iterator[Study]:
    """Study the named scans, in order; in processes of one thread if there are several."""
    job = partial(study_by_name, data=data, weights=weights)
    workers = min(2, len(names), len(os.sched_getaffinity(0)))
    if workers < 2:
        one_thread()
        yield from map(job, names)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=one_thread) as pool:
        yield from pool.map(job, names)


def one_thread() -> None:
    """Let torch, sigpy and BART take one core each: the same for every method."""
    torch.set_num_threads(1)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = "1"


def study_by_name(name: str, data: Path, weights: str) -> Study:
    """Study ``"<pattern> <sets>"`` of the real brain, or ``"slice <index>"``."""
    kind, _, index = name.partition(" ")
    scan = simulated(data, int(index)) if kind == "slice" else real(data, kind, int(index))
    rim, _ = load_weights(weights)
    return study(scan, rim)


def study(
    scan: Scan,
    rim: RIM,
    iterations: int = WAVELET,
    search: tuple[int, int] = SEARCH,
    with_bart: bool | None = None,
    adapting: int = ITERATIONS,
) -> Study:
    """Reconstruct a scan by every classical method at its best, and by the RIM.

    The RIM also after ``adapting`` iterations of adaptation.
    """
    images: dict[str, Tensor] = {}
    rows = mri_baselines(
        scan.kspace,
        scan.mask,
        scan.maps,
        scan.reference,
        sets=scan.sets,
        iterations=iterations,
        search=search,
        with_bart=with_bart,
        keep=images.__setitem__,
    )
    sigma = estimate_kspace_noise(scan.kspace * scan.mask, scan.mask)
    measurement = scan.measured(sigma)
    peak = float(scan.reference.max())
    for name, image, seconds in answers(rim, measurement, scan.sets, adapting):
        images[name] = image
        shown = magnitude(image, scan.maps, scan.sets)
        scores = psnr(scan.reference, shown, peak), ssim(scan.reference, shown, peak)
        rows = [*rows, Row(name, None, *scores, seconds)]
    kept = {}
    if scan.full:
        likelihood = measurement.likelihood(sets=scan.sets)
        kept = {name: kept_scores(image, scan, likelihood) for name, image in images.items()}
    pictures = {name: magnitude(image, scan.maps, scan.sets) for name, image in images.items()}
    return Study(rows, scan.reference, sigma, scan.seconds, pictures, kept)


def real_table(pattern: str, sets: int, found: Study) -> Table:
    """The table of one study on the real brain."""
    rows, columns = found.reference.shape
    protocol = [
        f"Real fully sampled 8-channel brain (Lustig's ESPIRiT toolbox), float; {PATTERNS[pattern]}"
        "; a retrospective mask.",
        f"k-space is cut to the {columns} of 256 columns that were measured (the others are zero): "
        f"images of {rows} x {columns}, compared whole.",
        f"{sets} ESPIRiT map set(s), from the undersampled data ({found.seconds:.1f} s), the same "
        f"for all, down to eigenvalue {CROP:g}; the field of view is narrower than the head.",
        "Reference: root-sum-of-squares of the full data, its noise included. Compared: "
        "root-sum-of-squares of the coil images, sqrt(sum_c |sum_s S_sc x_s|^2).",
        "In the head: SSIM of the pixels above 7 % of the largest; the others hold noise alone.",
        "Kept: measured samples put back into the coil images (`--add-residual`), of every method. "
        "Unseen: error of the samples that were not given over sigma in the air, noise included.",
        *tuning_protocol(f"{found.sigma:.3g}"),
    ]
    title = f"Real brain, {PATTERNS[pattern].partition(',')[0]}, {sets} map set(s)"
    header = ["method", "λ", "PSNR", "SSIM", "in the head"]
    header += ["kept, PSNR", "SSIM", "unseen", "seconds"]
    return Table(title, protocol, header, [cells(row, found.kept) for row in found.rows])


def simulated_table(found: list[Study]) -> Table:
    """The means over simulated slices; lambda is tuned for each by itself, and not shown."""
    protocol = [
        f"{len(found)} slice(s) of subjects kept from training, {SIDE} x {SIDE}, random phase, 8 "
        "simulated coils whose true maps all methods are given; 4x Poisson disc, SNR 30; float.",
        "Reference: the true magnitude. Compared: magnitudes. Means over the slices.",
        *tuning_protocol("its own of each slice"),
    ]
    rows = []
    for same in zip(*(one.rows for one in found), strict=True):
        means = [
            sum(getattr(row, name) for row in same) / len(same)
            for name in ("psnr", "ssim", "seconds")
        ]
        digits = zip(means, (2, 4, 2), strict=True)
        rows.append([same[0].method, *(number(value, n) for value, n in digits)])
    header = ["method", "PSNR", "SSIM", "seconds"]
    return Table("Simulated 8-coil scans, 4x", protocol, header, rows)


def tuning_protocol(sigma: str) -> list[str]:
    """What holds for all scans."""
    program = bart.version() if bart.available() else "absent"
    return [
        "PSNR in dB and SSIM (7 x 7) as fastMRI: data range = maximum of the reference, no crop.",
        "λ of each classical method tuned for its PSNR on the truth (* at an end of the range); "
        "CG 30, wavelets and TV 100 iterations.",
        "RIM: one setting for all scans, chosen on simulated scans and a real knee "
        f"(docs/design/cell.md). Sigma {sigma}, estimated from the undersampled data.",
        PROTOCOL,
        f"seconds: one run without maps, on one CPU thread. BART: {program}.",
    ]


def cells(row: Row, kept: Mapping[str, Kept]) -> list[str]:
    """A row of a table; lambda with a star where it lies on an end of its range."""
    lamda = "–" if row.lamda is None else f"{row.lamda:.1e}{'' if row.interior else '*'}"
    scores = [number(row.psnr), number(row.ssim, 4)]
    if row.method in kept:
        own = kept[row.method]
        scores += [number(own.head, 4), number(own.psnr), number(own.ssim, 4)]
        scores += [number(own.unseen, 3)]
    return [row.method, lamda, *scores, number(row.seconds)]
