"""A scan that was undersampled when it was made: no truth, but samples that can be held back."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from rimaging.benchmark import bart
from rimaging.benchmark.baselines import methods
from rimaging.benchmark.ours import OURS, PROTOCOL, answers, infer
from rimaging.benchmark.scans import CALIBRATION, Scan
from rimaging.benchmark.table import Table, number
from rimaging.datasets.coil_maps import CROP
from rimaging.datasets.kspace_noise import estimate_kspace_noise
from rimaging.datasets.npz import load_arrays
from rimaging.datasets.splitting import SHARE, split
from rimaging.operators.coils import expand_coils
from rimaging.operators.espirit import espirit
from rimaging.operators.fourier import centred_fft
from rimaging.reports.figures import strip
from rimaging.rim.rim import RIM
from rimaging.solvers.l1_wavelet import l1_wavelet
from rimaging.solvers.tuning import tune
from rimaging.solvers.zero_filled import zero_filled

PROSPECTIVE = "mri/multicoil/brain_8ch_poisson_sigpy.npz"
DRAWS = 3
LAMBDA = 5e-3
"""Of the wavelet in the picture, for which there is nothing to tune it on."""


def prospective(data: Path) -> Scan:
    """The scan, with one map set from all of its samples; there is no reference."""
    kspace = torch.from_numpy(load_arrays(data / PROSPECTIVE)["ksp"].copy())
    mask = (kspace != 0).any(dim=0).float()
    maps = espirit(kspace, mask, calibration=CALIBRATION, crop=CROP)
    return Scan(kspace, mask, maps, torch.zeros(mask.shape), sets=False)


def held_back_table(
    scan: Scan, rim: RIM, iterations: int, search: tuple[int, int], adapting: int
) -> Table:
    """How far every method is from samples that it was not given.

    ``iterations``: of wavelets and TV. ``search``: for their parameter, see `tune`. ``adapting``:
    iterations of the adaptation of the RIM.
    """
    sigma = estimate_kspace_noise(scan.kspace, scan.mask)
    rows: dict[str, list[float]] = {}
    tuned: dict[str, float] = {}
    for seed in range(DRAWS):
        given, held = split(scan.measured(sigma), torch.Generator().manual_seed(seed))
        assert given.mask is not None and held.mask is not None
        mask, judge = given.mask, partial(unseen, scan=scan, held=held.mask, sigma=sigma)
        images = {"zero-filled": zero_filled(given.data, mask, scan.maps)}
        rivals = methods(given.data, mask, scan.maps, False, iterations, bart.available())
        for name, (solve, low, high) in rivals.items():
            if name not in tuned:
                tuned[name] = best(solve, judge, low, high, search)
            images[name] = solve(tuned[name])
        images |= {name: image for name, image, _ in answers(rim, given, False, adapting)}
        for name, image in images.items():
            rows.setdefault(name, []).append(judge(image))
    coils, *size = scan.kspace.shape
    protocol = [
        f"Real brain, {coils} channels, {size[0]} x {size[1]}, Poisson disc, prospective: "
        f"{float(scan.mask.mean()):.1%} of k-space was measured, nothing else is known.",
        f"{SHARE:.0%} of its samples on average, none of the middle, are held back and predicted; "
        f"mean of {DRAWS} draws. Maps (one set) and sigma from all samples, the same for all.",
        "Error: root-mean-square of one real component of what was held back, over sigma, noise "
        "included (without any error of the image it is 1).",
        "λ of each rival tuned for the samples that are held back in the first draw.",
        f"{PROTOCOL} BART: {bart.version() if bart.available() else 'absent'}.",
    ]
    cells = [[name, number(sum(found) / len(found), 3)] for name, found in rows.items()]
    return Table("Prospective brain, samples held back", protocol, ["method", "error"], cells)


def best(
    solve: Callable[[float], Tensor],
    judge: Callable[[Tensor], float],
    low: float,
    high: float,
    search: tuple[int, int],
) -> float:
    """The ``lambda`` whose image has the least error."""
    return tune(lambda v: -judge(solve(v)), low, high, grid=search[0], refinements=search[1]).value


def unseen(image: Tensor, scan: Scan, held: Tensor, sigma: float) -> float:
    """Error of the samples within ``held (y, x)`` as an image ``(y, x)`` predicts them."""
    predicted = centred_fft(expand_coils(scan.maps, image, scan.sets, 2), (-2, -1))
    error = (predicted - scan.kspace)[:, held > 0].abs().square().mean() / 2
    return math.sqrt(float(error)) / sigma


def picture(scan: Scan, rim: RIM) -> bytes:
    """The images of all samples side by side."""
    sigma = estimate_kspace_noise(scan.kspace, scan.mask)
    wavelet = l1_wavelet(scan.kspace, scan.mask, scan.maps, lamda=LAMBDA)
    images = {
        "zero-filled": zero_filled(scan.kspace, scan.mask, scan.maps).abs(),
        f"L1-wavelet (sigpy), λ {LAMBDA:g}": wavelet.abs(),
        OURS: infer(rim, scan.measured(sigma), False).abs(),
    }
    return strip(images, "kspace")
