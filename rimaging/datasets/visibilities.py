"""Visibilities from files: uvfits of one source, and the tables of the Event Horizon Telescope."""

from __future__ import annotations

import csv
import gzip
import math
import re
import zlib
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from rimaging.datasets.guard import existing_file
from rimaging.datasets.uvfits import read_uvfits
from rimaging.datasets.visibility_data import VisibilityData, good_visibilities
from rimaging.errors import FormatError

__all__ = [
    "VisibilityData",
    "holds_visibilities",
    "read_uvfits",
    "read_visibilities",
    "read_visibility_table",
]


def read_visibilities(path: str | Path) -> VisibilityData:
    """Read a ``.uvfits`` (or random-groups FITS), or a ``.csv`` table; gzip as it is.

    Raises FormatError for what is neither, and for files without one good visibility.
    """
    name = Path(path).name.lower().removesuffix(".gz")
    if name.endswith((".csv", ".txt")):
        return read_visibility_table(path)
    return read_uvfits(path)


def holds_visibilities(path: str | Path) -> str | None:
    """The format of a file of visibilities, "uvfits" or "csv", by its first bytes; else None.

    Raises FormatError for what is no file.
    """
    path = existing_file(path)
    try:
        with path.open("rb") as plain:
            head = plain.read(2880)
        if head.startswith(b"\x1f\x8b"):
            with gzip.open(path) as packed:
                head = packed.read(2880)
    except (OSError, EOFError, zlib.error):
        return None  # whoever reads it says what is wrong
    if head.startswith(b"#") and b"U(lambda)" in head:
        return "csv"
    groups = head.startswith(b"SIMPLE  =") and re.search(rb"NAXIS1  = +0 .*GROUPS  = +T ", head)
    return "uvfits" if groups else None


def read_visibility_table(path: str | Path) -> VisibilityData:
    """Read a table with columns U, V in wavelengths, amplitude in Jy, phase in degrees, sigma.

    As the Event Horizon Telescope publishes them: comments and the names of the columns begin with
    ``#``.
    """
    path = existing_file(path)
    with path.open("rb") as packed:
        zipped = packed.read(2) == b"\x1f\x8b"
    opened: Any = gzip.open if zipped else open
    with opened(path, "rt", encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.reader(lines) if row]
    named = (row for row in reversed(rows) if row[0].startswith("#") and len(row) > 4)
    names = [name.strip().lstrip("#") for name in next(named, [])]
    wanted = ("U(lambda)", "V(lambda)", "Iamp(Jy)", "Iphase(d)", "Isigma(Jy)")
    if any(name not in names for name in wanted):
        raise FormatError(f"{path.name!r} lacks the columns {', '.join(wanted)} after a '#'.")
    index = [names.index(name) for name in wanted]
    who = all(name in names for name in ("time(UTC)", "T1", "T2"))
    index += [names.index("time(UTC)")] if who else []
    try:
        table = np.array(
            [[float(row[i]) for i in index] for row in rows if not row[0].startswith("#")]
        )
    except (ValueError, IndexError) as error:
        raise FormatError(f"{path.name!r} has a row that is no visibility: {error}.") from error
    if not len(table):
        raise FormatError(f"{path.name!r} has no visibility.")
    u, v, amplitude, phase, sigma = table.T[:5]
    angle = np.radians(phase)
    weight = np.where(sigma > 0, 1 / np.where(sigma > 0, sigma, 1) ** 2, 0)
    text = next((cell for row in rows for cell in row if cell.startswith("FREQ:")), "")
    digits = text.removeprefix("FREQ:").removesuffix("GHz")
    frequency = 1e9 * float(digits) if digits.replace(".", "").isdigit() else math.nan
    real, imaginary = amplitude * np.cos(angle), amplitude * np.sin(angle)
    columns = [u, v, real, imaginary, weight, np.zeros_like(u)]
    if who:
        places = [names.index(name) for name in ("T1", "T2")]
        picked = [[row[i].strip() for i in places] for row in rows if not row[0].startswith("#")]
        one, two = np.array(picked).T
        number = {name: i for i, name in enumerate(sorted({*one, *two}))}
        columns += [3600 * table[:, 5]]
        columns += [np.array([number[name] for name in end], float) for end in (one, two)]
        same = one == two
    else:
        same = np.hypot(u, v) == 0
    found = good_visibilities(columns, frequency, path.name, same)
    facts = {}
    for cell in (cell for row in rows if row[0].startswith("#") for cell in row):
        name, _, value = cell.lstrip("#").partition(":")
        if name == "SRC":
            facts["OBJECT"] = value
        elif name == "DATE(MJD)" and value.isdigit():
            facts["DATE-OBS"] = str(date(1858, 11, 17) + timedelta(days=int(value)))
    return replace(found, facts=facts)
