"""What a run will take, before it does: memory, disk, reading, hours."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from rimaging.errors import OptionError
from rimaging.memory import available
from rimaging.mosaic.cluster import KEPT
from rimaging.mosaic.folder import Recipe

PROCESS = 330 << 20
"""Resident bytes of a worker that has loaded torch, Zarr and Dask, and done nothing yet."""
DRIVER = 420 << 20
"""The same of the process that drives them, scheduler included."""
LOOSE = 128 << 20
"""Freed memory that the driver keeps where it computes itself: of 2048 x 2048 pixels in tiles
of 512 up to 40 MiB beyond what they need."""
RECORD = 1500
"""Bytes that the driver keeps of a unit."""


@dataclass(frozen=True)
class Plan:
    """A run and its cost.

    processes: that compute here; 0 is the driver's own, of one thread. threads: of each.
    seconds_per_pixel: of one processor, on a block, measured (None where nothing was run). fits:
    whether the output is FITS, which is put together beside the tiles.
    """

    recipe: Recipe
    processes: int
    threads: int
    seconds_per_pixel: float | None = None
    fits: bool = True
    folder: Path = Path()

    @property
    def process_bytes(self) -> float:
        """What the units of one process take at most: one computed, the others read or written."""
        grid, task = self.recipe.grid, self.recipe.task
        channels, height, width = grid.largest_block
        block = channels * height * width
        core = math.prod(grid.unit) * len(task.planes)
        batch = max(height * width, min(block, task.batch_pixels))
        computed = 4 * block * (2 + len(task.planes)) + batch * task.bytes_per_pixel
        # the block, its answer, the core, its encoded chunks and the shard they are joined into
        held = 4 * block * (1 + len(task.planes)) + 4 * 4 * core
        others = self.threads - 1 if self.processes else 0
        return max(computed, held) + others * held

    @property
    def memory(self) -> int:
        """Resident bytes of all processes together, at most."""
        finalising = 2 * 3 * 4 * math.prod(self.recipe.grid.unit)
        working = max(1, self.processes) * self.process_bytes
        driver = DRIVER + RECORD * len(self.recipe.grid) + finalising
        kept = self.processes * (PROCESS + KEPT) if self.processes else LOOSE
        return int(driver + kept + working)

    @property
    def disk(self) -> int:
        """Bytes of the output while it is made, tiles and FITS together."""
        values = 4 * self.recipe.grid.pixels * len(self.recipe.task.planes)
        return int(values * (2 if self.fits else 1) * 1.001) + (1 << 20)

    @property
    def hours(self) -> float | None:
        """With the measured pace and every worker busy."""
        if self.seconds_per_pixel is None:
            return None
        read = self.recipe.grid.pixels * self.recipe.grid.amplification
        return read * self.seconds_per_pixel / max(1, self.processes) / 3600

    def lines(self) -> list[str]:
        """For people, one fact on a line."""
        grid, task = self.recipe.grid, self.recipe.task
        channels, height, width = grid.shape
        seam = (self.recipe.notes or {}).get("seam error")
        free = shutil.disk_usage(self.folder).free
        hours = self.hours
        who = f"{self.processes} processes" if self.processes else "this process"
        return [
            f"image    {channels} x {height} x {width}, {grid.pixels / 1e6:.6g} Mpx, "
            f"planes {', '.join(task.planes)}",
            f"units    {len(grid)} of {' x '.join(map(str, grid.unit))}",
            f"halo     {grid.halo} pixels, {grid.amplification:.3f} times the image is read"
            + ("" if seam is None else f"; seam error {seam:.2g} of the noise"),
            f"memory   {self.memory / 2**30:.2f} GiB at most, all processes together "
            f"({available() / 2**30:.1f} GiB available)",
            f"disk     {self.disk / 2**30:.3f} GiB ({free / 2**30:.1f} GiB free)",
            "time     not measured"
            if hours is None
            else f"time     {hours:.3g} hours on {who} "
            f"({1 / (1e6 * (self.seconds_per_pixel or 1)):.3g} Mpx/s each)",
        ]

    def check(self) -> None:
        """Raise OptionError for a run that does not fit memory or disk."""
        if self.memory > available():
            raise OptionError(
                f"the run takes up to {self.memory / 2**30:.2f} GiB of memory and "
                f"{available() / 2**30:.2f} GiB are available: give a smaller --tile or fewer "
                "--workers"
            )
        free = shutil.disk_usage(self.folder).free
        if self.disk > free:
            raise OptionError(
                f"the output takes {self.disk / 2**30:.2f} GiB of disk while it is made and "
                f"{free / 2**30:.2f} GiB are free: choose another disk, or an output .zarr"
            )
