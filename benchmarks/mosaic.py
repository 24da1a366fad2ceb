"""Mosaics: time, memory and overhead against size.

    python benchmarks/mosaic.py                              # small sizes, minutes
    python benchmarks/mosaic.py --megapixels 1000 4000 16000 --workers 2 --folder /large/disk
    python benchmarks/mosaic.py --blur --megapixels 1000 4000 16000 --workers 2 --channels 0
    python benchmarks/mosaic.py --weights astro --gpus all --tile 4096 --megapixels 14400
    python benchmarks/mosaic.py --channels 1000 --side 256   # against one image of as many pixels
    python benchmarks/mosaic.py --varying                    # a PSF that changes over the image

Each row is a run of its own in a fresh process, from a sky that is made up from coordinates, into
a Zarr store (4 bytes a pixel), removed after. The sky is written to a FITS file first and read from
there, up to 256 megapixels; a larger one is made up by the workers as they go, and no disk is read.
By default with a small untrained network, so that what is measured is the way of the tiles;
`--weights` takes others, `--blur` none at all: memory and overhead of the largest sizes.

Mpx/s: of the driver, from the first unit to the last; the start of the workers (torch is loaded in
each) stands beside it. Peak memory: the proportional set size of all processes together, sampled
once a second from /proc, beside the bound that `plan` gives. Pure compute: that rate over
the one at which as many processes, started alike, compute the block in the middle again and again,
with nothing to read or write; halo: how much more is read than kept, which both compute. Prepare:
seconds for the sample and the halo, before the first unit.

With `--channels` two rows: so many small channels, each with its PSF and its noise estimated, and
one image of as many pixels; the last line is the ratio of their rates, from the first unit to the
last and with the preparation.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parts.made_up_sky import psf_of, starfield, store
from parts.memory import proportional_set
from parts.pure_compute import pure_rate

if TYPE_CHECKING:
    from rimaging.mosaic.folder import Recipe

STORED = 256e6
"""Pixels of the largest sky that is written to a file first."""


def small_network(folder: Path) -> Path:
    """Weights of one step and four features: the way of the tiles, hardly any network."""
    import torch

    from rimaging.rim.config import RIMConfig
    from rimaging.rim.rim import RIM
    from rimaging.rim.weights import save_weights

    torch.manual_seed(0)
    path = folder / "small.safetensors"
    save_weights(RIM(RIMConfig(steps=1, fine=4, coarse=4, chebyshev=True)), path, {"name": "small"})
    return path


def blur(shape: tuple[int, ...], tile: int) -> Recipe:
    """A run without a network: what is left is reading, writing and driving."""
    from rimaging.mosaic.folder import Recipe
    from rimaging.mosaic.generated import describe_starfield
    from rimaging.mosaic.task import Task
    from rimaging.mosaic.tiles import Grid, choose_unit

    channels, height, width = shape
    task = Task("rimaging.mosaic.generated:box_blur", {"radius": 3}, bytes_per_pixel=32)
    source = describe_starfield((channels, height, width), fwhm=3.5, cell=96)
    unit = choose_unit((channels, height, width), tile)
    return Recipe(source, Grid((channels, height, width), unit, 8), task)


def one(arguments: argparse.Namespace) -> None:
    """One run, in this process and its workers; its figures as JSON."""
    from rimaging import mosaics
    from rimaging.mosaic.plan import Plan
    from rimaging.mosaic.run import run

    shape = tuple(arguments.shape)
    folder = Path(arguments.folder)
    weights = arguments.weights or small_network(folder)
    gpus = list(range(arguments.gpu_count))
    stored = folder / "sky.fits"
    sky = mosaics.Sky(
        image=stored if stored.is_file() else starfield(shape),
        psf=psf_of(shape, per_channel=arguments.channels > 0, varying=arguments.varying),
        noise=None if arguments.channels else 1.0,
        weights=weights,
        tile=arguments.tile,
        halo=arguments.halo,
    )
    started = time.perf_counter()
    recipe = blur(shape, arguments.tile) if arguments.blur else mosaics.recipe(sky, gpus=bool(gpus))
    prepared = time.perf_counter() - started
    workers = mosaics.Workers(gpus=gpus) if gpus else mosaics.Workers(count=arguments.workers)
    count = workers.processes(recipe.grid.pixels)
    plan = Plan(recipe, count, workers.threads, fits=False, folder=folder)
    plan.check()
    output = folder / "out.zarr"
    begun: list[float] = []
    ended: list[float] = []

    def report(progress: object, _: str) -> None:
        if not begun:
            # the first unit waits for torch in its worker: count from when it was done
            begun.append(time.perf_counter())
        ended[:] = [time.perf_counter()]

    started = time.perf_counter()
    outcome = run(recipe, output, workers, report=report)
    whole = time.perf_counter() - started
    steady = ended[0] - begun[0]
    units = len(recipe.grid)
    print(
        json.dumps(
            {
                "pixels": recipe.grid.pixels,
                "units": units,
                "halo": recipe.grid.halo,
                "amplification": recipe.grid.amplification,
                "seconds": whole,
                "prepared": prepared,
                "steady": steady,
                "steady_pixels": recipe.grid.pixels * (units - 1) / units,
                "alone": pure_rate(recipe, workers),
                "workers": max(1, count),
                "bound": plan.memory,
                "quarantined": len(outcome.quarantined),
            }
        )
    )


def measured(
    arguments: argparse.Namespace, shape: tuple[int, int, int], workers: int
) -> dict[str, Any] | None:
    """The figures of one run in a process of its own; None if it failed."""
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        if math.prod(shape) <= STORED and not arguments.blur:
            store(shape, Path(folder) / "sky.fits")
        command = [sys.executable, __file__, "--one", "--folder", folder]
        command += ["--shape", *map(str, shape), "--workers", str(workers)]
        command += ["--tile", str(arguments.tile), "--halo", arguments.halo]
        command += ["--blur"] if arguments.blur else []
        command += ["--varying"] if arguments.varying else []
        command += ["--channels", str(arguments.channels)]
        command += ["--gpu-count", str(gpu_count(arguments.gpus))]
        command += ["--weights", arguments.weights] if arguments.weights else []
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        peak, over = [0], threading.Event()

        def watch() -> None:
            while not over.wait(1.0):
                peak[0] = max(peak[0], proportional_set(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        answer, _ = process.communicate()
        over.set()
        watcher.join()
    if process.returncode != 0:
        return None
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return found | {"peak": peak[0], "steady": max(found["steady"], 1e-9)}


def row(shape: tuple[int, int, int], found: dict[str, Any] | None) -> str:
    """One row of the table."""
    if found is None:
        return f"| {math.prod(shape) / 1e6:.0f} | failed |"
    share = 1e6 * rate(found) / found["alone"]
    cells = [
        f"{found['pixels'] / 1e6:.0f}",
        " x ".join(map(str, shape)),
        str(found["workers"]),
        str(found["units"]),
        f"{found['halo']} ({found['amplification']:.2f})",
        f"{found['prepared']:.1f}",
        f"{found['seconds']:.0f}",
        f"{rate(found):.2f}",
        f"{found['peak'] / 2**20:.0f}",
        f"{found['bound'] / 2**20:.0f}",
        f"{share:.0%}",
    ]
    return "| " + " | ".join(cells) + " |"


def rate(found: dict[str, Any], *, prepared: bool = False) -> float:
    """Megapixels in a second, from the first unit to the last."""
    seconds = found["steady"] + (found["prepared"] if prepared else 0.0)
    return float(found["steady_pixels"] / 1e6 / seconds)


def gpu_count(gpus: str) -> int:
    if not gpus:
        return 0
    import torch

    return torch.cuda.device_count() if gpus == "all" else len(gpus.split(","))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[4, 16, 64])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--channels", type=int, default=0, help="so many small ones against one large image"
    )
    parser.add_argument("--side", type=int, default=256, help="of a small channel")
    parser.add_argument("--varying", action="store_true", help="a PSF that changes over the image")
    parser.add_argument("--tile", type=int, default=1024)
    parser.add_argument("--halo", default="auto")
    parser.add_argument("--weights", default="")
    parser.add_argument("--blur", action="store_true", help="no network: a box blur")
    parser.add_argument("--gpus", default="", help="all, or 0,1")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="on a disk with room")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--shape", type=int, nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--gpu-count", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        arguments.workers = arguments.workers[0]
        one(arguments)
        return
    columns = ["Mpx", "channel x y x", "workers", "units", "halo (read)", "prepare", "seconds"]
    columns += ["Mpx/s", "peak MiB", "plan MiB", "pure compute"]
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns), flush=True)
    if arguments.channels:
        compared(arguments)
        return
    for megapixels in arguments.megapixels:
        side = round(math.sqrt(megapixels * 1e6) / 8) * 8
        for workers in arguments.workers:
            shape = (1, side, side)
            print(row(shape, measured(arguments, shape, workers)), flush=True)


def compared(arguments: argparse.Namespace) -> None:
    """Many small channels against one large image of as many pixels."""
    side = round(arguments.side * math.sqrt(arguments.channels) / 8) * 8
    workers = arguments.workers[-1]
    found = []
    for shape in ((arguments.channels, arguments.side, arguments.side), (1, side, side)):
        found.append(measured(arguments, shape, workers))
        print(row(shape, found[-1]), flush=True)
    small, large = found
    if small is not None and large is not None:
        ratio = rate(small) / rate(large)
        whole = rate(small, prepared=True) / rate(large, prepared=True)
        print(f"\nrate of small channels over that of one image: {ratio:.2f}, prepared {whole:.2f}")


if __name__ == "__main__":
    main()
