"""A large image on a CPU: the network block by block (`rimaging.rim.blocks`) against in one piece.

    python benchmarks/blocks.py --side 1536

Each row is a process of its own that makes up a sky or a picture and takes it through its door,
a small one first. Processor seconds are those of all threads, of the system those in which it
clears pages of memory; the memory is the most that was resident, beside what the small one took.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
import torch

from rimaging import astro, image
from rimaging.rim import blocks

CASES = ("astro", "image")
WAYS = ("one piece", "blocks")
SMALL = 128
"""Side of the image that is taken first: nothing is loaded or planned in what is measured."""
MIB = 2**10
"""Of what `getrusage` counts in KiB."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--side", type=int, default=1536, help="pixels of each image along an axis")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--row", nargs=2, metavar=("WEIGHTS", "WAY"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side < SMALL:
        parser.error(f"--side {given.side}: give {SMALL} pixels or more")
    if given.row:
        torch.set_num_threads(given.threads)
        print(row(*given.row, given.side), flush=True)
        return
    print("| weights | the network | seconds | processor seconds | of the system | MiB |")
    print("| --- | --- | ---: | ---: | ---: | ---: |", flush=True)
    sizes = ["--side", str(given.side), "--threads", str(given.threads)]
    for name in CASES:
        for way in WAYS:
            subprocess.run([sys.executable, __file__, *sizes, "--row", name, way], check=True)


def row(name: str, way: str, side: int) -> str:
    """A row of the table, measured in this process."""
    if way == WAYS[0]:
        blocks.WHOLE_BYTES = sys.maxsize
    infer(name, SMALL)
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    infer(name, side)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    system = after.ru_stime - before.ru_stime
    spent = after.ru_utime - before.ru_utime + system
    memory = (after.ru_maxrss - before.ru_maxrss) / MIB
    return f"| `{name}` | {way} | {seconds:.1f} | {spent:.1f} | {system:.1f} | {memory:.0f} |"


def infer(name: str, side: int) -> None:
    """What a user calls, on noise around a level."""
    noisy = np.random.default_rng(0).normal(0.5, 0.1, (side, side)).astype(np.float32)
    if name == "astro":
        astro.deconvolve(noisy, "moffat:4.5", 0.1, error_map=None)
    else:
        image.denoise(noisy, 0.1)


if __name__ == "__main__":
    main()
