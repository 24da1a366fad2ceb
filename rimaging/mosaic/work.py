"""One unit: read, compute, write, and only then the receipt."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any, Literal

from rimaging.errors import RimagingError
from rimaging.mosaic import receipts, store
from rimaging.mosaic.folder import Recipe, RunFolder, process_of, recipe_of
from rimaging.mosaic.sources import read_unit
from rimaging.mosaic.task import planes_of
from rimaging.mosaic.tiles import Unit

COMPUTING = threading.Lock()
"""One computation at a time in a process; meanwhile its other threads read and write."""

Answer = dict[str, Any]
Run = tuple[str, str, str]
"""A run as a worker is told of it: its folder, the name of its plan, its fingerprint."""
Verdict = Literal["done", "failed", "stop"]


def work(of: Run, index: int) -> Answer:
    """Do one unit of a run (`Run`): a small answer that any process can send.

    ``{"verdict": "done" | "failed" | "stop", "unit": ..., ...}``: failed is this unit's own fault
    (its input, its computation) and worth another try; stop is the output's (disk full,
    read-only), which no other unit would survive.
    """
    # A worker that is told to close may log the heartbeat that it could not send, at length.
    logging.getLogger("tornado.application").setLevel(logging.CRITICAL)
    folder, name, fingerprint = of
    run = RunFolder(Path(folder))
    started = time.perf_counter()
    try:
        recipe = recipe_of(folder, name)
        unit = recipe.grid[index]
        earlier = _earlier(run, recipe, unit)
        if earlier is not None:
            return earlier
        block = read_unit(recipe.source, unit)
        was_read = time.perf_counter()
        process = process_of(folder, name)
        with COMPUTING:
            begun = time.perf_counter()
            answer = process(block, unit)
            computed = time.perf_counter() - begun
        planes = planes_of(answer, unit, recipe.task.planes)
    except Exception as error:  # whatever a task, a reader or a codec raises is told and counted
        return {"verdict": "failed", "unit": index, "reason": reason_of(error)}
    writing = time.perf_counter()
    try:
        written = {}
        for name, values in planes.items():
            written[name] = receipts.receipt_of(values, store.write(run.store, name, unit, values))
        seconds = (was_read - started, computed, time.perf_counter() - writing)
        receipt = receipts.Receipt(index, written, seconds, _place())
        receipts.append(run.receipts, receipt, fingerprint)
    except Exception as error:
        # An OSError is the disk's; what else arises in writing is no better on another try.
        return {"verdict": "stop", "unit": index, "reason": reason_of(error)}
    missing = sum(plane.missing for plane in written.values())
    return _done(index, seconds, missing)


def _earlier(run: RunFolder, recipe: Recipe, unit: Unit) -> Answer | None:
    """The answer of a unit whose worker died between its receipt and telling so.

    Receipts are read only where a shard is there already, which is rare.
    """
    if not store.shard_path(run.store, recipe.task.planes[0], unit).exists():
        return None
    receipt = run.done(recipe).get(unit.index)
    if receipt is None:
        return None
    missing = sum(plane.missing for plane in receipt.planes.values())
    return _done(unit.index, receipt.seconds, missing)


def _done(index: int, seconds: tuple[float, float, float], missing: int) -> Answer:
    return {"verdict": "done", "unit": index, "seconds": seconds, "missing": missing}


def reason_of(error: BaseException) -> str:
    """An error in one line, without the folders of a path."""
    if isinstance(error, OSError) and error.strerror:
        name = f" ({Path(str(error.filename)).name})" if error.filename else ""
        return f"{error.strerror}{name}"
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, RimagingError) else f"{type(error).__name__}: {text}"


def _place() -> str:
    device = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return f"{socket.gethostname()}{':gpu' + device if device else ''}"
