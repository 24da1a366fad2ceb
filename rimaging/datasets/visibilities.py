"""Visibilities from files: uvfits of one source, and the tables of the Event Horizon Telescope."""

from __future__ import annotations

import csv
import gzip
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.fits_open import open_fits
from rimaging.datasets.guard import existing_file
from rimaging.errors import FormatError

__all__ = ["VisibilityData", "read_uvfits", "read_visibilities", "read_visibility_table"]


@dataclass(frozen=True, eq=False)
class VisibilityData:
    """Stokes I of one source: ``u, v`` in wavelengths, ``(n,)``; values in Jy, ``(2, n)``.

    values: real and imaginary part. sigma: standard deviation of each of the two, in Jy.
    frequency: in Hz, of the first channel.
    """

    u: Tensor
    v: Tensor
    values: Tensor
    sigma: Tensor
    frequency: float
    name: str


def read_visibilities(path: str | Path) -> VisibilityData:
    """Read a ``.uvfits`` (or random-groups FITS), or a ``.csv`` table; gzip as it is.

    Raises FormatError for what is neither, and for files without one good visibility.
    """
    name = Path(path).name.lower().removesuffix(".gz")
    if name.endswith((".csv", ".txt")):
        return read_visibility_table(path)
    return read_uvfits(path)


def read_uvfits(path: str | Path) -> VisibilityData:
    """Read random groups: baselines in seconds times the frequency; flagged visibilities left out.

    ``I = (RR + LL) / 2`` (or XX and YY) where both are good, else the one that is; a file of Stokes
    I as it is. Weights are ``1 / sigma^2``. Channels and IFs become visibilities of their own.

    Source: AIPS Memo 117, Greisen (2012).
    """
    path = existing_file(path)
    with open_fits(path) as file:
        from astropy.io import fits

        hdu = file.hdus[0]
        if not isinstance(hdu, fits.GroupsHDU):
            raise FormatError(f"{file.name!r} holds no random groups: it is no uvfits file.")
        header = hdu.header
        groups = hdu.data
        data = np.asarray(groups.data, np.float64)
        baselines = [_parameter(groups, letter, file.name) for letter in ("UU", "VV")]
    axes = {str(header.get(f"CTYPE{i}", "")).strip(): i for i in range(2, header["NAXIS"] + 1)}
    if "STOKES" not in axes or "FREQ" not in axes or axes.get("COMPLEX") != 2:
        raise FormatError(f"{path.name!r} lacks the axes COMPLEX, STOKES, FREQ of visibilities.")
    total = header["NAXIS"]
    data = np.moveaxis(data, [-1, 1 + total - axes["STOKES"], 1 + total - axes["FREQ"]], [0, 1, 2])
    number = axes["FREQ"]
    channel = np.arange(data.shape[2]) + 1 - float(header.get(f"CRPIX{number}", 1))
    frequency = float(header[f"CRVAL{number}"]) + channel * float(header[f"CDELT{number}"])
    real, imaginary, weight = _stokes_i(data, float(header[f"CRVAL{axes['STOKES']}"]))
    # (channel, group, ...): wavelengths are seconds times the frequency of the channel
    rest = (1,) * (real.ndim - 2)
    u, v = (
        np.broadcast_to((frequency[:, None] * b[None]).reshape(*real.shape[:2], *rest), real.shape)
        for b in baselines
    )
    return _kept(u, v, real, imaginary, weight, float(frequency[0]), path.name)


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
    names = next((row for row in reversed(rows) if row[0].startswith("#") and len(row) > 4), None)
    wanted = ("U(lambda)", "V(lambda)", "Iamp(Jy)", "Iphase(d)", "Isigma(Jy)")
    if names is None or any(name not in names for name in wanted):
        raise FormatError(f"{path.name!r} lacks the columns {', '.join(wanted)} after a '#'.")
    index = [names.index(name) for name in wanted]
    try:
        table = np.array(
            [[float(row[i]) for i in index] for row in rows if not row[0].startswith("#")]
        )
    except (ValueError, IndexError) as error:
        raise FormatError(f"{path.name!r} has a row that is no visibility: {error}.") from error
    if not len(table):
        raise FormatError(f"{path.name!r} has no visibility.")
    u, v, amplitude, phase, sigma = table.T
    angle = np.radians(phase)
    weight = np.where(sigma > 0, 1 / np.where(sigma > 0, sigma, 1) ** 2, 0)
    text = next((cell for row in rows for cell in row if cell.startswith("FREQ:")), "")
    digits = text.removeprefix("FREQ:").removesuffix("GHz")
    frequency = 1e9 * float(digits) if digits.replace(".", "").isdigit() else math.nan
    real, imaginary = amplitude * np.cos(angle), amplitude * np.sin(angle)
    return _kept(u, v, real, imaginary, weight, frequency, path.name)


def _parameter(groups: Any, letters: str, name: str) -> np.ndarray:
    """A baseline in seconds, whatever its name goes on with (UU, UU---SIN, UU--NCP)."""
    for parameter in dict.fromkeys(groups.parnames):
        if parameter.startswith(letters):
            return np.asarray(groups.par(parameter), np.float64)
    raise FormatError(f"{name!r} has no parameter {letters}: it is no uvfits file.")


def _stokes_i(data: np.ndarray, first: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Real, imaginary and weight of Stokes I from ``(3, stokes, channel, group, ...)``."""
    if first > 0 or data.shape[1] == 1:  # I itself, or the only hand that there is
        real, imaginary, weight = data[:, 0]
        return real, imaginary, np.clip(weight, 0, None)
    values, weight = data[:2, :2], np.clip(data[2, :2], 0, None)
    good = (weight > 0) & np.isfinite(values).all(axis=0)
    count = good.sum(axis=0)
    mean = np.where(good, values, 0).sum(axis=1) / np.maximum(count, 1)
    variance = np.where(good, 1 / np.where(good, weight, 1), 0).sum(axis=0)
    total = np.where(count > 0, np.maximum(count, 1) ** 2 / np.where(variance > 0, variance, 1), 0)
    return mean[0], mean[1], total


def _kept(
    u: np.ndarray,
    v: np.ndarray,
    real: np.ndarray,
    imaginary: np.ndarray,
    weight: np.ndarray,
    frequency: float,
    name: str,
) -> VisibilityData:
    good = (weight > 0) & np.isfinite(weight) & np.isfinite(real) & np.isfinite(imaginary)
    if not good.any():
        raise FormatError(f"{name!r} has no visibility with a weight above 0.")
    columns = [torch.from_numpy(np.ascontiguousarray(a[good])) for a in (u, v, real, imaginary)]
    sigma = torch.from_numpy(weight[good] ** -0.5)
    values = torch.stack(columns[2:])
    return VisibilityData(columns[0], columns[1], values, sigma, frequency, name)
