"""From k-space to an image: seconds of one slice, coil maps included, beside sigpy and BART.

    RIMAGING_DATA=../shared/data python benchmarks/mri_slice.py

All on all cores of this machine, interleaved, medians of several runs; read the ratios. Ours is
the door as a user calls it (`rimaging.mri.reconstruct`: noise, number of map sets, ESPIRiT, RIM,
diagnostics). sigpy: `EspiritCalib`, then `L1WaveletRecon` (100 iterations, its default). BART:
`ecalib` and `pics -R W` (100 iterations), files and starts included (about 10 ms each). One map set
for all, but for the real brain, which is wider than its field of view: two for us and BART; sigpy
has one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from espirit import simulate
from torch import Tensor

import rimaging
from rimaging.benchmark import bart
from rimaging.benchmark.scans import BRAIN, measured_columns, real_mask
from rimaging.datasets.data_card import data_root
from rimaging.datasets.npz import load_arrays
from rimaging.datasets.simulate.masks import poisson_disc
from rimaging.errors import FormatError

RUNS = 3
LAMDA = 3e-3


def scans() -> dict[str, tuple[Tensor, Tensor, int]]:
    """K-space, mask and number of map sets by name."""
    found: dict[str, tuple[Tensor, Tensor, int]] = {}
    for coils, size in ((8, 200), (15, 320)):
        mask = poisson_disc((size, size), 4, 24, 1.0, seed=0).float()
        found[f"simulated, {coils} x {size} x {size}"] = simulate(coils, size) * mask, mask, 1
    try:
        kspace = measured_columns(torch.from_numpy(load_arrays(data_root() / BRAIN)["ksp"].copy()))
    except (FormatError, OSError):
        return found
    mask = real_mask("poisson4", (kspace.shape[-2], kspace.shape[-1]))
    name = f"real brain, {' x '.join(map(str, kspace.shape))}"
    return {**found, name: (kspace * mask, mask, 2)}


def ours(kspace: Tensor, mask: Tensor) -> None:
    rimaging.mri.reconstruct(kspace, mask=mask)


def sigpy(kspace: Tensor, mask: Tensor) -> None:
    import sigpy.mri.app as app

    data = kspace.numpy()
    maps = app.EspiritCalib(data, show_pbar=False).run()
    app.L1WaveletRecon(data, maps, LAMDA, weights=mask.numpy(), show_pbar=False).run()


def with_bart(kspace: Tensor, mask: Tensor, sets: int) -> None:
    maps = bart.ecalib(kspace, sets=sets)
    maps = maps if sets == 2 else maps[0]
    bart.pics(kspace, mask, maps, penalty="wavelet", lamda=LAMDA, iterations=100)


def seconds(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main() -> None:
    """Print the table."""
    print(f"{torch.get_num_threads()} threads; BART: ", end="")
    print(bart.version() if bart.available() else "absent")
    print("\n| k-space | rimaging, s | sigpy, s | BART, s | sigpy : ours | BART : ours |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, (kspace, mask, sets) in scans().items():
        programs: list[Callable[[], None]] = [
            lambda k=kspace, m=mask: ours(k, m),
            lambda k=kspace, m=mask: sigpy(k, m),
        ]
        if bart.available():
            programs.append(lambda k=kspace, m=mask, s=sets: with_bart(k, m, s))
        ours(kspace, mask)  # what is loaded and planned once is no slice's time
        rounds = [[seconds(run) for run in programs] for _ in range(RUNS)]
        times = [statistics.median(column) for column in zip(*rounds, strict=True)]
        cells = [f"{value:.2f}" for value in times] + ["–"] * (3 - len(times))
        ratios = [f"{value / times[0]:.1f}" for value in times[1:]] + ["–"] * (3 - len(times))
        print("| " + " | ".join([name, *cells, *ratios]) + " |", flush=True)


if __name__ == "__main__":
    main()
