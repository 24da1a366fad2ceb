"""The classical reconstructions of an undersampled scan, each at its best, in one table."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from rimaging.benchmark import bart
from rimaging.reports.metrics import psnr, ssim
from rimaging.solvers.cg_sense import cg_sense
from rimaging.solvers.l1_wavelet import l1_wavelet
from rimaging.solvers.total_variation import total_variation
from rimaging.solvers.tuning import tune
from rimaging.solvers.zero_filled import zero_filled

Solver = Callable[[float], Tensor]


class Row(NamedTuple):
    """One method: its best ``lambda`` (None: it has none), scores, and seconds of one run.

    ``interior`` is False where the best ``lambda`` lies on an end of the range that was searched.
    """

    method: str
    lamda: float | None
    psnr: float
    ssim: float
    seconds: float
    interior: bool = True


def mri_baselines(
    kspace: Tensor,
    mask: Tensor,
    maps: Tensor,
    reference: Tensor,
    *,
    sets: bool = False,
    iterations: int = 100,
    search: tuple[int, int] = (7, 4),
    with_bart: bool | None = None,
    keep: Callable[[str, Tensor], None] | None = None,
) -> list[Row]:
    """Undersample a full scan by ``mask`` and reconstruct it by every classical method.

    ``lambda`` of each method is tuned for the best PSNR against the reference: no method can do
    better in practice. All get the same maps. PSNR and SSIM compare root-sums-of-squares of coil
    images, ``sqrt(sum_c |sum_s S_sc x_s|^2)``, which is ``|x|`` within a single set of maps.

    Args:
        kspace: complex ``(coil, y, x)``, full or already undersampled.
        mask: ``(y, x)``, 1 where a method may look.
        maps: complex ``(coil, y, x)``, or with ``sets`` ``(set, coil, y, x)``, estimated from the
            samples within ``mask`` if the table is to be honest.
        reference: real ``(y, x)``; ``data_range`` is its maximum.
        sets: whether the maps carry a set axis.
        iterations: of the wavelet and TV methods; CG takes 30.
        search: points on the grid of ``lambda`` and refinements after it, see `tune`.
        with_bart: run BART too; by default where it is installed.
        keep: is given every method's name and image at its best, for figures and other scores.

    Returns:
        Rows in the order of `methods`, zero-filled first.

    Raises:
        ShapeError: arrays that do not fit. RimagingError: BART asked for and absent, or it fails.
    """
    if with_bart is None:
        with_bart = bart.available()
    peak = float(reference.max())
    # Seconds would else include what is imported, planned and compiled at the first call.
    l1_wavelet(kspace, mask, maps, lamda=1e-3, iterations=1, sets=sets)

    def measure(name: str, lamda: float | None, run: Callable[[], Tensor]) -> Row:
        start = time.perf_counter()
        image = run()
        seconds = time.perf_counter() - start
        picture = magnitude(image, maps, sets)
        if keep is not None:
            keep(name, image)
        scores = psnr(reference, picture, peak), ssim(reference, picture, peak)
        return Row(name, lamda, *scores, seconds)

    rows = [measure("zero-filled", None, lambda: zero_filled(kspace, mask, maps, sets=sets))]
    for name, (solver, low, high) in methods(
        kspace, mask, maps, sets, iterations, with_bart
    ).items():

        def score(lamda: float, solver: Solver = solver) -> float:
            return psnr(reference, magnitude(solver(lamda), maps, sets), peak)

        best = tune(score, low, high, grid=search[0], refinements=search[1])
        row = measure(name, best.value, partial(solver, best.value))
        rows.append(row._replace(interior=best.interior))
    return rows


def methods(
    kspace: Tensor, mask: Tensor, maps: Tensor, sets: bool, iterations: int, with_bart: bool
) -> dict[str, tuple[Solver, float, float]]:
    """Every method with a ``lambda``: the function of it, and the range to search."""
    found: dict[str, tuple[Solver, float, float]] = {
        "CG-SENSE": (lambda v: cg_sense(kspace, mask, maps, damping=v, sets=sets), 1e-5, 1),
        "L1-wavelet (sigpy)": (
            lambda v: l1_wavelet(kspace, mask, maps, lamda=v, iterations=iterations, sets=sets),
            1e-5,
            1e-1,
        ),
        "TV (sigpy)": (
            lambda v: total_variation(
                kspace, mask, maps, lamda=v, iterations=iterations, sets=sets
            ),
            1e-5,
            1e-1,
        ),
    }
    if not with_bart:
        return found

    def pics(penalty: bart.Penalty, steps: int) -> Solver:
        return lambda v: bart.pics(kspace, mask, maps, penalty=penalty, lamda=v, iterations=steps)

    found["L2 (BART)"] = (pics("l2", 30), 1e-5, 1)
    found["wavelet (BART)"] = (pics("wavelet", iterations), 1e-5, 1e-1)
    found["TV (BART)"] = (pics("tv", iterations), 1e-5, 1e-1)
    return found


def magnitude(image: Tensor, maps: Tensor, sets: bool) -> Tensor:
    """Root-sum-of-squares of the coil images that ``image`` and ``maps`` give, ``(..., y, x)``."""
    coils = (maps * image.unsqueeze(-3)).sum(dim=-4) if sets else maps * image.unsqueeze(-3)
    rss: Tensor = torch.linalg.vector_norm(coils, dim=-3)
    return rss
