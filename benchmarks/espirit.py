"""Coil maps by ESPIRiT: rimaging's time against sigpy's and BART's, and how far the maps differ.

    OMP_NUM_THREADS=1 python benchmarks/espirit.py

Runs are interleaved and each figure is a median, so that a shared machine slows all of them alike:
read the ratios. CPU seconds (user and system, of all threads and of BART's process) are steadier
than wall seconds; with one thread they are the honest comparison. BART's `ecalib -m1` is run where
`bart` is on PATH, its start and files included (about 10 ms). The last columns are the greatest and
the median distance |S - S_sigpy| up to a phase, where both keep the pixel and sigpy's power
iteration has converged.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rimaging.operators.espirit import espirit, espirit_with_eigenvalues

SIZES = ((8, 200), (15, 320))


def simulate(coils: int, size: int) -> Tensor:
    """K-space of a textured ellipse seen by smooth coils, with noise: (coil, size, size)."""
    generator = torch.Generator().manual_seed(coils)
    line = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(line, line, indexing="ij")
    texture = 1 + 0.3 * torch.sin(9 * x + 3 * y) + 0.3 * torch.rand(size, size, generator=generator)
    image = ((y**2 + 1.3 * x**2) < 0.7) * texture
    views = []
    for angle in (torch.arange(coils) * 2 * math.pi / coils).tolist():
        distance = (y - 1.1 * math.sin(angle)) ** 2 + (x - 1.1 * math.cos(angle)) ** 2
        phase = angle + 1.5 * y * math.cos(3 * angle) + 1.2 * x * math.sin(2 * angle)
        views.append(image * torch.exp(-distance / 0.9) * torch.exp(1j * phase))
    axes = (-2, -1)
    kspace = torch.fft.fft2(torch.fft.ifftshift(torch.stack(views), dim=axes), norm="ortho")
    kspace = torch.fft.fftshift(kspace, dim=axes)
    noise = torch.randn(kspace.shape, dtype=kspace.dtype, generator=generator)
    return (kspace + 0.02 * noise).to(torch.complex64)


def bart(kspace: Tensor, folder: Path) -> Callable[[], object]:
    """Write k-space as BART wants it, (x, y, z, coil) in Fortran order; a run of `ecalib -m1`."""
    array = kspace.numpy().transpose(1, 2, 0)[:, :, None, :]
    shape = " ".join(str(n) for n in array.shape)
    (folder / "kspace.hdr").write_text(f"# Dimensions\n{shape}\n")
    array.ravel(order="F").tofile(folder / "kspace.cfl")
    command = ["bart", "ecalib", "-m1", str(folder / "kspace"), str(folder / "maps")]
    return lambda: subprocess.run(command, check=True, capture_output=True)


def sigpy_maps(kspace: Tensor) -> Tensor:
    """Return the maps of sigpy, with its defaults."""
    import sigpy.mri.app as app

    return torch.from_numpy(app.EspiritCalib(kspace.numpy(), show_pbar=False).run())


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Return wall and CPU seconds of a run, child processes included."""

    def cpu() -> float:
        usage = [
            resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        ]
        return sum(part.ru_utime + part.ru_stime for part in usage)

    wall_start, cpu_start = time.perf_counter(), cpu()
    run()
    return time.perf_counter() - wall_start, cpu() - cpu_start


def difference(kspace: Tensor) -> tuple[float, float]:
    """Return the greatest and the median distance from sigpy's maps, up to a phase."""
    reference = sigpy_maps(kspace)
    maps, values = espirit_with_eigenvalues(kspace, calibration=(24, 24), sets=2)
    same = (values[0] > 0.95) & (reference.abs().sum(0) > 0) & (values[1] < 0.88 * values[0])
    phase = torch.linalg.vecdot(reference, maps[0], dim=0).sgn()
    distance = torch.linalg.vector_norm(maps[0] - phase * reference, dim=0)[same]
    return float(distance.max()), float(distance.median())


def real_data(root: Path) -> dict[str, Tensor]:
    """Fully or partly sampled multi-coil k-space of the data folder, where there is one."""
    data = {}
    for name in ("brain_8ch_poisson_sigpy", "brain_alias_8ch"):
        path = root / "mri" / "multicoil" / f"{name}.npz"
        if path.is_file():
            with np.load(path) as file:
                data[name] = torch.from_numpy(file["ksp"])
    return data


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    checkout = Path(__file__).resolve().parents[1]
    cases = {f"simulated, {coils} coils": simulate(coils, size) for coils, size in SIZES}
    cases |= real_data(Path(os.environ.get("RIMAGING_DATA", checkout.parent / "shared" / "data")))
    print(
        f"Threads: {torch.get_num_threads()}; medians of {arguments.repeats}; wall (CPU) seconds\n"
    )
    print("| k-space | size | rimaging | two sets | sigpy | BART | sigpy : rimaging", end=" ")
    print("| BART : rimaging | greatest difference | median |\n|" + "---|" * 10)
    with tempfile.TemporaryDirectory() as folder:
        for name, kspace in cases.items():
            runs: dict[str, Callable[[], object]] = {
                "rimaging": partial(espirit, kspace),
                "two": partial(espirit, kspace, sets=2),
                "sigpy": partial(sigpy_maps, kspace),
            }
            if shutil.which("bart"):
                runs["bart"] = bart(kspace, Path(folder))
            runs["rimaging"]()
            times: dict[str, list[tuple[float, float]]] = {key: [] for key in runs}
            for _ in range(arguments.repeats):
                for key, run in runs.items():
                    times[key].append(timed(run))
            wall, cpu = (
                {key: statistics.median(pair[i] for pair in pairs) for key, pairs in times.items()}
                for i in (0, 1)
            )
            cells = [name, " x ".join(str(n) for n in kspace.shape)]
            for key in ("rimaging", "two", "sigpy", "bart"):
                cells.append(f"{wall[key]:.2f} ({cpu[key]:.2f})" if key in wall else "-")
            for key in ("sigpy", "bart"):
                ratios = (part[key] / part["rimaging"] for part in (wall, cpu) if key in part)
                cells.append("{:.1f} ({:.1f})".format(*ratios) if key in wall else "-")
            cells += [f"{value:.0e}" for value in difference(kspace)]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
