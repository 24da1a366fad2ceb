"""Readouts of a scanner, in the order of time, onto the Cartesian grid of k-space."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from rimaging.datasets.guard import check_declared
from rimaging.errors import FormatError

__all__ = ["COUNTERS", "Grid", "Readouts", "onto_grid", "ranks"]

COUNTERS = ("repetition", "set", "phase", "contrast", "slice")
"""What a scanner counts besides lines, partitions and averages: the leading axes of k-space."""


@dataclass(frozen=True, kw_only=True)
class Readouts:
    """Where ``n`` readouts belong.

    line, partition: of k-space, (n,). centre: the sample of zero frequency, counted after a
    reversed readout was turned round, (n,). length: samples, (n,). first, last: the samples
    [first, last) of each that are used, (n,), counted likewise. counters: of each name in
    COUNTERS, (n,).
    """

    line: np.ndarray
    partition: np.ndarray
    centre: np.ndarray
    length: np.ndarray
    first: np.ndarray
    last: np.ndarray
    counters: dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """k-space ``(*COUNTERS, coil, z, y, x)``, the mean of what was measured, and how often it was.

    count: (*COUNTERS, z, y, x), 0 where nothing was measured. notes: what was assumed.
    """

    kspace: np.ndarray
    count: np.ndarray
    notes: list[str]


def ranks(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the different values 0, 1, 2, ... in their order: ``(numbers, how many)``."""
    different, numbers = np.unique(values, return_inverse=True)
    return numbers.reshape(values.shape), len(different)


def onto_grid(
    readouts: Readouts,
    samples: Iterable[np.ndarray],
    *,
    coils: int,
    matrix: tuple[int, int, int],
    centre: tuple[int | None, int | None],
    stored: int,
) -> Grid:
    """Place readouts (coil, length) on a matrix (x, y, z) with zero frequency in its middle.

    Line ``l`` goes to row ``y // 2 + l - centre``, sample ``i`` to column ``x // 2 + i - centre``
    of that readout: what partial Fourier and asymmetric echoes leave out stays zero, count 0.
    Readouts of one place (averages) are averaged. ``centre`` is the (line, partition) of zero
    frequency; ``stored`` the bytes of the file.

    Raises FormatError for readouts that do not fit into the matrix, for coils that differ, and for
    a matrix far beyond what is stored.
    """
    width, height, depth = matrix
    notes: list[str] = []
    rows = _placed(readouts.line, centre[0], height, "line", notes)
    planes = _placed(readouts.partition, centre[1], depth, "partition", notes)
    begin = _columns(readouts, width, notes)
    placed = [ranks(readouts.counters[name]) for name in COUNTERS]
    lead = tuple(size for _, size in placed)
    # complex64 and a count for each sample
    declared = int(np.prod([*lead, depth, height, width], dtype=object)) * (8 * coils + 2)
    check_declared(declared, stored, f"a matrix {width} x {height} x {depth}, {coils} coils,")
    kspace = np.zeros((*lead, coils, depth, height, width), np.complex64)
    count = np.zeros((*lead, depth, height, width), np.int16)
    slots = list(zip(*(numbers.tolist() for numbers, _ in placed), strict=True))
    for i, line in enumerate(samples):
        if line.shape != (coils, readouts.length[i]):
            raise FormatError(
                f"readout {i} has {line.shape[0]} coils x {line.shape[1]} samples, expected "
                f"{coils} x {int(readouts.length[i])} as its header says: export the scan again."
            )
        used = slice(int(readouts.first[i]), int(readouts.last[i]))
        start = int(begin[i]) + used.start
        columns = slice(start, start + used.stop - used.start)
        kspace[(*slots[i], slice(None), planes[i], rows[i], columns)] += line[:, used]
        count[(*slots[i], planes[i], rows[i], columns)] += 1
    if int(count.max(initial=0)) > 1:
        kspace /= np.maximum(count, 1).astype(np.float32)[..., None, :, :, :]
    different = np.unique(readouts.last - readouts.first)
    if len(different) > 1:
        notes.append(
            f"readouts of {different[0]} to {different[-1]} samples: each placed by its centre, "
            "what is missing taken as not measured"
        )
    return Grid(kspace=kspace, count=count, notes=notes)


def _placed(
    index: np.ndarray, centre: int | None, size: int, name: str, notes: list[str]
) -> np.ndarray:
    """Rows of lines, or planes of partitions; the centre of the header unless it cannot be."""
    first, last = int(index.min()), int(index.max())
    if centre is not None:
        shift = size // 2 - centre
        if first + shift >= 0 and last + shift < size:
            return index + shift
    if last >= size:
        raise FormatError(
            f"{name} {last} was measured, the encoded matrix has {size}: the header is of another "
            "scan, correct its matrixSize."
        )
    stated = "is not stated" if centre is None else f"cannot be {centre} as stated"
    if size > 1:
        notes.append(f"the central {name} {stated}, taken as {size // 2}")
    return index


def _columns(readouts: Readouts, width: int, notes: list[str]) -> np.ndarray:
    """Column of sample 0 of each readout."""
    begin = width // 2 - readouts.centre
    outside = (begin + readouts.first < 0) | (begin + readouts.last > width)
    if not outside.any():
        return begin
    if bool((readouts.last - readouts.first > width).any()):
        raise FormatError(
            f"a readout has {int((readouts.last - readouts.first).max())} samples, the encoded "
            f"matrix {width}: the header is of another scan, correct its matrixSize."
        )
    middle = width // 2 - readouts.length // 2
    if bool(((middle + readouts.first < 0) | (middle + readouts.last > width))[outside].any()):
        raise FormatError(
            "the samples of a readout do not fit around its center_sample into the encoded matrix "
            f"of {width}: correct the header."
        )
    notes.append("the central sample of readouts cannot be as stated, taken as their middle")
    return np.where(outside, middle, begin)
