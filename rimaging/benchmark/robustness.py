"""Robustness of MRI: what each wrong assumption costs, on the real brain, beside L1-wavelet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rimaging.benchmark.baselines import magnitude
from rimaging.benchmark.ours import infer
from rimaging.benchmark.scans import BRAIN, CALIBRATION, Scan, measured_columns, real_mask
from rimaging.benchmark.table import Table, number, publish
from rimaging.datasets.coil_maps import CROP
from rimaging.datasets.kspace_noise import estimate_kspace_noise
from rimaging.datasets.npz import load_arrays
from rimaging.datasets.simulate.coils import perturb
from rimaging.datasets.simulate.masks import equispaced, gaussian_points, radial, random_points
from rimaging.errors import FormatError
from rimaging.mri.measured import with_measured
from rimaging.operators.espirit import espirit
from rimaging.reports.metrics import psnr, ssim
from rimaging.rim.rim import RIM
from rimaging.rim.weights import load_weights
from rimaging.solvers.l1_wavelet import l1_wavelet
from rimaging.solvers.zero_filled import zero_filled

LAMBDA = 3e-3
"""Of L1-wavelet: what the truth chose for the first row; all others keep it."""

EXACT = 100.0
"""Decibels: what float32 rounds."""


@dataclass(frozen=True)
class Trial:
    """A scan, what is assumed of it, and what is wrong with that."""

    name: str
    scan: Scan
    factor: float = 1.0
    """Stated over estimated sigma."""


def main(data: Path, weights: str, limit: int | None = None, out: Path | None = None) -> None:
    """Print the table, of the first ``limit`` trials if given; write it to ``out``.

    Raises FormatError where the scan is absent, WeightsError for weights that cannot be loaded.
    """
    if not (data / BRAIN).is_file():
        raise FormatError(f"no {BRAIN} below the root of the data: check it")
    rim, _ = load_weights(weights)
    rows = [row(trial, rim) for trial, _ in zip(trials(data), range(limit or 99), strict=False)]
    protocol = [
        "The real 8-channel brain of `benchmark mri`, float, retrospective masks, compared as "
        "there: root-sum-of-squares against the full data, data range = maximum, no crop.",
        f"L1-wavelet (sigpy): λ {LAMBDA:g} for all rows, 100 iterations. RIM: one setting.",
        "Each row differs from the first in what it names. Kept: PSNR with the measured samples "
        "put back into the coil images (`--add-residual`).",
    ]
    header = ["", "zero-filled", "L1-wavelet, PSNR", "SSIM", "kept", "RIM, PSNR", "SSIM", "kept"]
    table = Table("Robustness on the real brain", protocol, header, rows)
    print(table.text(), flush=True)
    publish("robustness", [table], {}, out)


def trials(data: Path) -> Iterator[Trial]:
    """One assumption after the other."""
    kspace = measured_columns(torch.from_numpy(load_arrays(data / BRAIN)["ksp"].copy()))
    size = (kspace.shape[-2], kspace.shape[-1])
    reference = zero_filled(kspace, torch.ones(size))

    def scan(mask: Tensor, sets: int = 2, calibration: int = CALIBRATION) -> Scan:
        maps = espirit(kspace * mask, mask, calibration=calibration, crop=CROP, sets=sets)
        return Scan(kspace, mask, maps, reference, sets == 2)

    generator = torch.Generator().manual_seed(0)
    usual = scan(real_mask("poisson4", size))
    yield Trial("4x Poisson disc, two map sets", usual)
    yield Trial("sigma half of what was estimated", usual, 0.5)
    yield Trial("sigma twice", usual, 2.0)
    yield Trial("one map set, wrong for a wrapped head", scan(usual.mask, sets=1))
    yield Trial("maps of 12 x 12 calibration samples", scan(usual.mask, calibration=12))
    one = scan(usual.mask, sets=1)
    wrong = perturbed(one.maps, generator, 0.05)
    yield Trial("one set, maps wrong by 5 %", Scan(kspace, one.mask, wrong, reference, False))
    spokes = radial(size, 52, CALIBRATION).float()
    yield Trial(f"spokes on the grid, {fraction(spokes)}x", scan(spokes))
    normal = gaussian_points(size, 4, CALIBRATION, generator).float()
    yield Trial(f"unseen mask: points by a Gaussian, {fraction(normal)}x", scan(normal))
    lines = equispaced(size[0], 3, CALIBRATION).float()[:, None].expand(size).contiguous()
    yield Trial(f"every third row, {fraction(lines)}x", scan(lines))
    points = random_points(size, 4, CALIBRATION, generator).float()
    yield Trial("4x uniform random points", scan(points))
    yield Trial("2x uniform random points", scan(random_points(size, 2, 24, generator).float()))
    yield Trial("1x: everything was measured", scan(torch.ones(size)))


def perturbed(maps: Tensor, generator: torch.Generator, level: float) -> Tensor:
    """Maps ``(coil, y, x)`` with smooth errors of this level, zero where they were."""
    side = max(maps.shape[-2:])
    padded = maps.new_zeros(maps.shape[0], side, side)
    padded[..., : maps.shape[-2], : maps.shape[-1]] = maps
    wrong = perturb(padded, generator, level)[..., : maps.shape[-2], : maps.shape[-1]]
    return wrong * (maps.abs().sum(dim=0) > 0)


def fraction(mask: Tensor) -> str:
    """The net acceleration."""
    return f"{float(mask.numel() / mask.sum()):.1f}"


def row(trial: Trial, rim: RIM) -> list[str]:
    """Scores of a trial by zero-filling, by L1-wavelet and by the RIM."""
    scan = trial.scan
    y = scan.kspace * scan.mask
    sigma = trial.factor * estimate_kspace_noise(y, scan.mask)
    measurement = scan.measured(sigma)
    likelihood = measurement.likelihood(sets=scan.sets)
    wavelet = l1_wavelet(y, scan.mask, scan.maps, lamda=LAMBDA, sets=scan.sets)
    peak = float(scan.reference.max())

    def decibels(image: Tensor) -> str:
        value = psnr(scan.reference, image, peak)
        return number(value) if value < EXACT else "exact"

    cells = [trial.name, decibels(zero_filled(y, scan.mask))]
    for image in (wavelet, infer(rim, measurement, scan.sets)):
        shown = magnitude(image, scan.maps, scan.sets)
        cells += [decibels(shown), number(ssim(scan.reference, shown, peak), 4)]
        cells.append(decibels(with_measured(image, likelihood).abs()))
    return cells
