"""A run in a process of its own, to be killed: python survive.py IN OUT SETTINGS [limit|weak]."""

from __future__ import annotations

import ctypes
import json
import resource
import sys
from pathlib import Path

from rimaging.mosaic.folder import Recipe
from rimaging.mosaic.run import Workers, run
from rimaging.mosaic.sources import describe
from rimaging.mosaic.task import Task
from rimaging.mosaic.tiles import Grid


def recipe(image: Path, settings: dict[str, object]) -> Recipe:
    return Recipe(
        describe(image), Grid((2, 100, 136), (1, 48, 72), 8), Task("cheap:blur", settings)
    )


def give_up_privileges() -> None:
    """Make a superuser's process heed the permissions of files."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    none = (ctypes.c_uint32 * 6)()
    ctypes.CDLL(None).capset(header, none)


def main() -> None:
    image, output, settings = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    how = sys.argv[4] if len(sys.argv) > 4 else ""
    work = recipe(image, settings)
    if how == "weak":
        give_up_privileges()
    if how == "limit":
        # Files may not grow beyond 12,000 bytes: the plan and receipts may be written, a shard not.
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, resource.RLIM_INFINITY))
    workers = Workers(scheduler=how) if how.startswith("tcp:") else Workers()
    run(work, output, workers, resume=True)


if __name__ == "__main__":
    main()
