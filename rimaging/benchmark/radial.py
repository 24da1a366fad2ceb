"""Radial multi-coil MRI from few spokes: the RIM beside gridding, CG, wavelets and total variation.

The setting of Block, Uecker and Frahm (Magn. Reson. Med. 57, 2007, 1086): 24, 48 and 96 spokes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from rimaging.benchmark import bart
from rimaging.benchmark.baselines import Row, Solver, magnitude
from rimaging.benchmark.mri import SEARCH, cells, one_thread
from rimaging.benchmark.ours import PROTOCOL, answers
from rimaging.benchmark.scans import BRAIN, CALIBRATION, measured_columns
from rimaging.benchmark.table import Table, number, publish
from rimaging.datasets.coil_maps import CROP
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.npz import load_arrays
from rimaging.datasets.trajectory import estimate_trajectory_noise
from rimaging.errors import FormatError
from rimaging.mri.adaptation import ITERATIONS
from rimaging.mri.measured import with_measured
from rimaging.operators.espirit import espirit
from rimaging.operators.fourier import centred_ifft
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.gridding import grid_centre
from rimaging.operators.noncartesian import NonCartesianMRI, equalised
from rimaging.operators.nufft import NUFFT
from rimaging.operators.trajectories import radial
from rimaging.reports.figures import strip
from rimaging.reports.metrics import psnr, ssim
from rimaging.rim.rim import RIM
from rimaging.rim.weights import load_weights
from rimaging.solvers.noncartesian import NonCartesianMethod, solve_noncartesian
from rimaging.solvers.tuning import tune

SPOKES = (48, 24, 96)
GRIDDING = "gridding"
SETS = 2


@dataclass(frozen=True)
class RadialScan:
    """Samples along spokes that every method is given, and the reference that none is."""

    kspace: Tensor
    trajectory: Tensor
    maps: Tensor
    reference: Tensor
    seconds: float
    """What the estimation of the maps took."""

    @property
    def sets(self) -> bool:
        """Whether the maps have an axis of sets."""
        return self.maps.ndim == 4

    def measured(self, sigma: float) -> Measurement:
        """What a method is given: all samples as noisy as ``sigma``."""
        return Measurement(
            kind="kspace",
            data=self.kspace,
            trajectory=self.trajectory,
            maps=self.maps,
            matrix=tuple(self.reference.shape),
            noise=sigma,
        ).completed()


@dataclass(frozen=True)
class RadialStudy:
    """The rows of one scan, pictures of them, and PSNR and SSIM with the measured samples kept."""

    rows: list[Row]
    reference: Tensor
    sigma: float
    seconds: float
    pictures: dict[str, Tensor]
    kept: dict[str, tuple[float, float]]


def main(data: Path, weights: str, limit: int | None = None, out: Path | None = None) -> None:
    """Print a table for each number of spokes, the first ``limit`` if given; write them to ``out``.

    Raises FormatError where the data are absent, WeightsError for weights that cannot be loaded.
    """
    if not (data / BRAIN).is_file():
        raise FormatError(f"no {BRAIN} below the root of the data: check it")
    one_thread()
    rim, _ = load_weights(weights)
    tables, pictures = [], {}
    for spokes in SPOKES[:limit]:
        scan = real_radial(data, spokes)
        found = study_radial(scan, rim)
        tables.append(radial_table(scan, found))
        print(tables[-1].text(), end="\n\n", flush=True)
        pictures[f"{spokes}-spokes"] = strip(found.pictures, "kspace", found.reference)
    publish("radial", tables, pictures, out)


def real_radial(data: Path, spokes: int, sets: int = SETS) -> RadialScan:
    """The real brain along spokes: the NUFFT of the images of its full k-space, coil by coil.

    A retrospective scan: neighbouring samples share the noise of the Cartesian samples around them.
    """
    kspace = measured_columns(torch.from_numpy(load_arrays(data / BRAIN)["ksp"].copy()))
    size = (kspace.shape[-2], kspace.shape[-1])
    coils = centred_ifft(kspace)
    trajectory = radial(size, spokes, max(size))
    samples = NUFFT(trajectory.flatten(0, 1), size)(coils).unflatten(-1, trajectory.shape[:2])
    start = time.perf_counter()
    centre, mask = grid_centre(samples, trajectory, size, CALIBRATION)
    maps = espirit(centre, mask, calibration=CALIBRATION, crop=CROP, sets=sets)
    seconds = time.perf_counter() - start
    reference = coils.abs().square().sum(dim=-3).sqrt()
    return RadialScan(samples, trajectory, maps, reference, seconds)


def study_radial(
    scan: RadialScan,
    rim: RIM,
    iterations: int = 100,
    search: tuple[int, int] = SEARCH,
    with_bart: bool | None = None,
    adapting: int = ITERATIONS,
) -> RadialStudy:
    """Reconstruct a scan by every classical method at its best on the truth, and by the RIM."""
    peak = float(scan.reference.max())
    sigma = estimate_trajectory_noise(scan.kspace, scan.trajectory)
    measurement = scan.measured(sigma)
    likelihood = measurement.likelihood(sets=scan.sets)
    balanced = equalised(likelihood)
    pictures: dict[str, Tensor] = {}
    kept: dict[str, tuple[float, float]] = {}

    def scores(image: Tensor) -> tuple[float, float]:
        return psnr(scan.reference, image, peak), ssim(scan.reference, image, peak)

    def scored(name: str, lamda: float | None, image: Tensor, seconds: float) -> Row:
        pictures[name] = magnitude(image, scan.maps, scan.sets)
        kept[name] = scores(with_measured(image, balanced).abs())
        return Row(name, lamda, *scores(pictures[name]), seconds)

    def measure(name: str, lamda: float | None, run: Callable[[], Tensor]) -> Row:
        start = time.perf_counter()
        image = run()
        return scored(name, lamda, image, time.perf_counter() - start)

    solve_noncartesian("l1-wavelet", likelihood, lamda=1e-3, iterations=1)  # imports and plans
    gridded = partial(solve_noncartesian, "zero-filled", likelihood)
    rows = [measure(GRIDDING, None, gridded)]
    use_bart = bart.available() if with_bart is None else with_bart
    for name, (solver, low, high) in _methods(scan, likelihood, iterations, use_bart).items():

        def score(lamda: float, solver: Solver = solver) -> float:
            return psnr(scan.reference, magnitude(solver(lamda), scan.maps, scan.sets), peak)

        best = tune(score, low, high, grid=search[0], refinements=search[1])
        row = measure(name, best.value, partial(solver, best.value))
        rows.append(row._replace(interior=best.interior))

    for name, image, seconds in answers(rim, measurement, scan.sets, adapting):
        rows.append(scored(name, None, image, seconds))
    return RadialStudy(rows, scan.reference, sigma, scan.seconds, pictures, kept)


def _methods(
    scan: RadialScan, likelihood: Gaussian, iterations: int, use_bart: bool
) -> dict[str, tuple[Solver, float, float]]:
    """Every method with a ``lambda``: the function of it, and the range to search."""

    def ours(method: NonCartesianMethod, steps: int) -> Solver:
        return lambda v: solve_noncartesian(method, likelihood, lamda=v, iterations=steps)

    found: dict[str, tuple[Solver, float, float]] = {
        "CG-SENSE": (ours("cg-sense", 30), 1e-4, 1),
        "L1-wavelet (sigpy)": (ours("l1-wavelet", iterations), 1e-4, 1e-1),
        "TV (sigpy)": (ours("tv", iterations), 1e-4, 1e-1),
    }
    if not use_bart:
        return found
    operator = equalised(likelihood).operator
    assert isinstance(operator, NonCartesianMRI) and operator.weight is not None
    weight = operator.weight.squeeze(-3)

    def pics(penalty: bart.Penalty, steps: int) -> Solver:
        return lambda v: bart.pics_along(
            scan.kspace,
            scan.trajectory,
            scan.maps,
            weight,
            penalty=penalty,
            lamda=v,
            iterations=steps,
        )

    found["L2 (BART)"] = (pics("l2", 30), 1e-5, 1)
    found["wavelet (BART)"] = (pics("wavelet", iterations), 1e-5, 1e-1)
    found["TV (BART)"] = (pics("tv", iterations), 1e-5, 1e-1)
    return found


def radial_table(scan: RadialScan, found: RadialStudy) -> Table:
    """The table of one study."""
    spokes, samples = scan.trajectory.shape[:2]
    rows, columns = found.reference.shape
    share = spokes * samples / (rows * columns)
    program = bart.version() if bart.available() else "absent"
    protocol = [
        "Real 8-channel brain (Lustig's ESPIRiT toolbox), fully sampled on the grid; radial data "
        "are the NUFFT of its coil images, a retrospective scan.",
        f"{spokes} spokes, uniform angles, of {samples} samples ({share:.0%} of the pixels; "
        f"Nyquist needs {round(max(rows, columns) * 1.5708)} spokes); images of {rows} x {columns},"
        " compared whole; the field of view is narrower than the head.",
        f"{SETS} ESPIRiT map sets, from the middle of the spokes ({found.seconds:.1f} s), the same "
        "for all.",
        "Reference: root-sum-of-squares of the full data, its noise included. Compared: "
        "root-sum-of-squares of the coil images, sqrt(sum_c |sum_s S_sc x_s|^2).",
        "All but gridding weigh each sample by at most its area in cells of the grid (Pipe-Menon); "
        "sigpy's algorithms run on our NUFFT, BART on its own.",
        "PSNR in dB and SSIM (7 x 7) as fastMRI: data range = maximum of the reference, no crop.",
        "λ of each classical method tuned for its PSNR on the truth (* at an end of the range); "
        "CG 30, wavelets and TV 100 iterations.",
        f"RIM: the weights that serve Cartesian masks, unchanged. Sigma {found.sigma:.3g}, "
        "estimated from the outer samples.",
        "Kept: measured samples put back into the coil images (`--add-residual`), of every method.",
        PROTOCOL,
        f"seconds: one run without maps, on one CPU thread. BART: {program}.",
    ]
    header = ["method", "λ", "PSNR", "SSIM", "kept, PSNR", "SSIM", "seconds"]
    rows_of = []
    for row in found.rows:
        *scores, seconds = cells(row, {})
        shown = zip(found.kept[row.method], (2, 4), strict=True)
        rows_of.append([*scores, *(number(value, digits) for value, digits in shown), seconds])
    return Table(
        f"Radial brain, {spokes} spokes",
        protocol,
        header,
        rows_of,
    )
