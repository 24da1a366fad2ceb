"""What is done: one line of JSON for each unit, on the disk only after its shard is.

Each worker thread appends to a file of its own, so that no two writers share one, named by the run
that it works for: a worker that outlived a run which was replaced counts for nothing in the next.
The last line of a killed worker may be torn; it is passed over, and the unit done again.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rimaging.errors import FormatError

DIGITS = 16
"""Of a run's fingerprint, in the name of a file of receipts."""


@dataclass(frozen=True)
class PlaneReceipt:
    """What was written of one plane: CRC-32 of its little-endian values, bytes of the shard."""

    crc: int
    stored: int
    low: float | None
    high: float | None
    missing: int


@dataclass(frozen=True)
class Receipt:
    """A unit that is done. seconds: reading, computing, writing."""

    unit: int
    planes: dict[str, PlaneReceipt]
    seconds: tuple[float, float, float]
    device: str

    def line(self) -> str:
        """As one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)


def receipt_of(values: NDArray[np.float32], stored: int) -> PlaneReceipt:
    """The receipt of a plane's core."""
    known = np.isfinite(values)
    finite = values if known.all() else values[known]
    return PlaneReceipt(
        crc=checksum(values),
        stored=stored,
        low=float(finite.min()) if finite.size else None,
        high=float(finite.max()) if finite.size else None,
        missing=int(values.size - finite.size),
    )


def checksum(values: NDArray[np.float32]) -> int:
    """CRC-32 of the values as little-endian float32 in C order."""
    return zlib.crc32(np.ascontiguousarray(values, "<f4").view(np.uint8).data)


def append(folder: Path, receipt: Receipt, run: str = "") -> None:
    """Add a receipt of a ``run`` to this thread's file, safely on the disk before this returns."""
    place = f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident():x}"
    name = f"{run[:DIGITS]}-{place}.jsonl"
    file = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(file).st_size
        torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
        line = ("\n" if torn else "") + receipt.line() + "\n"
        data = line.encode()
        if os.write(file, data) != len(data):
            raise FormatError(f"a receipt was written in part: is there room for {name}?")
        os.fsync(file)
    finally:
        os.close(file)
    if size == 0:
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def read_receipts(folder: Path, run: str = "") -> tuple[dict[int, Receipt], int]:
    """Every unit that is done of a ``run``, by default of any, and how many lines were torn.

    Files are read in the order of their last change.
    """
    done: dict[int, Receipt] = {}
    torn = 0
    for path in sorted(
        folder.glob(f"{run[:DIGITS]}*.jsonl"), key=lambda path: path.stat().st_mtime_ns
    ):
        for line in path.read_bytes().split(b"\n"):
            if not line.strip():
                continue
            receipt = _parsed(line)
            if receipt is None:
                torn += 1
            else:
                done[receipt.unit] = receipt
    return done, torn


def _parsed(line: bytes) -> Receipt | None:
    try:
        found: dict[str, Any] = json.loads(line)
        planes = {name: PlaneReceipt(**values) for name, values in found.pop("planes").items()}
        read, computed, written = found.pop("seconds")
        return Receipt(planes=planes, seconds=(read, computed, written), **found)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
