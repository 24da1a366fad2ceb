"""Visibilities from files: uvfits of one source, and the tables of the Event Horizon Telescope."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.fits_open import open_fits
from rimaging.datasets.guard import existing_file
from rimaging.errors import DataError, FormatError, ShapeError

__all__ = ["VisibilityData", "read_uvfits", "read_visibilities", "read_visibility_table"]


@dataclass(frozen=True, eq=False)
class VisibilityData:
    """Stokes I of one source: ``u, v`` in wavelengths, ``(n,)``; values in Jy, ``(2, n)``.

    Signs as in `rimaging.operators.visibilities`: ``V = sum I exp(-2 pi i (u l + v m))``, l to the
    east. Files state ``u, v`` of the other sign, and readers turn them.

    values: real and imaginary part. sigma: standard deviation of each of the two, in Jy.
    frequency: in Hz, of the first channel. stations: numbers of the two antennas, ``(2, n)``; time:
    in seconds; channel: ``(n,)``; all three are needed only where gains are unknown. position:
    right ascension and declination of the phase centre in degrees. facts: OBJECT, TELESCOP and
    DATE-OBS, where the file states them.
    """

    u: Tensor
    v: Tensor
    values: Tensor
    sigma: Tensor
    frequency: float = math.nan
    name: str = "visibilities"
    stations: Tensor | None = None
    time: Tensor | None = None
    channel: Tensor | None = None
    position: tuple[float, float] | None = None
    facts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.u)
        shapes = {"v": (n,), "values": (2, n), "sigma": (n,), "stations": (2, n)}
        shapes |= {"time": (n,), "channel": (n,)}
        for name, shape in shapes.items():
            given = getattr(self, name)
            if given is not None and tuple(given.shape) != shape:
                raise ShapeError(
                    f"{name} has shape {tuple(given.shape)}, expected {shape} beside u of {n}: "
                    "give one of each for each visibility"
                )

    def chosen(self, good: Tensor) -> VisibilityData:
        """The visibilities for which ``good (n,)`` is true."""
        time, channel = self.time, self.channel
        return replace(
            self,
            u=self.u[good],
            v=self.v[good],
            values=self.values[:, good],
            sigma=self.sigma[good],
            stations=None if self.stations is None else self.stations[:, good],
            time=None if time is None else time[good],
            channel=None if channel is None else channel[good],
        )

    def moments(self) -> Tensor:
        """Which visibilities were taken at once, in the same channel: a number for each, ``(n,)``.

        Raises DataError where the file did not say.
        """
        if self.stations is None or self.time is None:
            raise DataError(
                f"{self.name!r} does not say which antennas and when (BASELINE, DATE): without "
                "them gains cannot be found; image it as calibrated"
            )
        channel = torch.zeros_like(self.time) if self.channel is None else self.channel.double()
        both = torch.stack((self.time, channel))
        found: Tensor = torch.unique(both, dim=1, return_inverse=True)[1]
        return found

    def scan_averages(self, gap: float = 60.0) -> VisibilityData:
        """Mean over each scan, baseline and channel, weighted by ``1 / sigma^2``.

        A scan ends where nothing was taken for ``gap`` seconds. Its time is that of its beginning.
        """
        self.moments()
        assert self.time is not None and self.stations is not None
        instants, place = torch.unique(self.time, return_inverse=True)
        begins = torch.cat((torch.ones(1).bool(), instants.diff() > gap))
        scan = begins.cumsum(0)[place] - 1
        channel = torch.zeros_like(scan) if self.channel is None else self.channel
        keys = torch.stack((scan, channel, *self.stations))
        groups, index = torch.unique(keys, dim=1, return_inverse=True)
        weight = self.sigma.double().pow(-2)
        count = groups.shape[1]
        total = torch.zeros(count, dtype=torch.float64).index_add(0, index, weight)

        def mean(column: Tensor) -> Tensor:
            return torch.zeros_like(total).index_add(0, index, weight * column.double()) / total

        return replace(
            self,
            u=mean(self.u),
            v=mean(self.v),
            values=torch.stack([mean(part) for part in self.values]),
            sigma=total.rsqrt(),
            time=instants[begins][groups[0]],
            channel=groups[1],
            stations=groups[2:],
        )


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
        when = _when(groups)
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
    facts = {n: str(header[n]).strip() for n in ("OBJECT", "TELESCOP", "DATE-OBS") if n in header}
    numbers = np.broadcast_to(np.arange(len(frequency)).reshape(-1, 1, *rest), real.shape)
    found = _kept(
        (u, v, real, imaginary, weight, numbers, *_along(when, real.shape)),
        float(frequency[0]),
        path.name,
    )
    return replace(found, position=_position(header, axes), facts=facts)


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
    columns = [u, v, real, imaginary, weight, np.zeros_like(u)]
    if all(name in names for name in ("time(UTC)", "T1", "T2")):
        places = [names.index(name) for name in ("time(UTC)", "T1", "T2")]
        picked = [[row[i].strip() for i in places] for row in rows if not row[0].startswith("#")]
        hour, one, two = np.array(picked).T
        number = {name: i for i, name in enumerate(sorted({*one, *two}))}
        columns += [3600 * hour.astype(float)]
        columns += [np.array([number[name] for name in end], float) for end in (one, two)]
    found = _kept(columns, frequency, path.name)
    source = next((cell for row in rows for cell in row if cell.startswith("#SRC:")), "")
    return replace(found, facts={"OBJECT": source.removeprefix("#SRC:")} if source else {})


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


def _when(groups: Any) -> list[np.ndarray]:
    """Seconds and the numbers of both stations of each group, where the file has them."""
    if not {"BASELINE", "DATE"} <= set(groups.parnames):
        return []
    day = np.asarray(groups.par("DATE"), np.float64)
    pair = np.asarray(groups.par("BASELINE"), np.float64).astype(int)
    return [np.round(86400 * (day - np.floor(day.min())), 2), pair // 256, pair % 256]


def _along(columns: list[np.ndarray], shape: tuple[int, ...]) -> list[np.ndarray]:
    """One number for each group as one for each visibility ``(channel, group, ...)``."""
    rest = (1,) * (len(shape) - 2)
    return [np.broadcast_to(column.reshape(1, -1, *rest), shape) for column in columns]


def _position(header: Any, axes: dict[str, int]) -> tuple[float, float] | None:
    """Right ascension and declination of the phase centre in degrees."""
    for names in (
        ("OBSRA", "OBSDEC"),
        *(
            (f"CRVAL{axes[a]}", f"CRVAL{axes[b]}")
            for a, b in (("RA", "DEC"),)
            if a in axes and b in axes
        ),
    ):
        found = [header.get(name) for name in names]
        if all(isinstance(value, int | float) for value in found) and any(found):
            return float(found[0]), float(found[1])
    return None


def _kept(columns: Sequence[np.ndarray], frequency: float, name: str) -> VisibilityData:
    """What is good of u, v, real, imaginary, weight, channel and perhaps time and stations."""
    real, imaginary, weight = columns[2:5]
    good = (weight > 0) & np.isfinite(weight) & np.isfinite(real) & np.isfinite(imaginary)
    if not good.any():
        raise FormatError(f"{name!r} has no visibility with a weight above 0.")
    u, v, re, im, w, channel, *when = (
        torch.from_numpy(np.ascontiguousarray(a[good], np.float64)) for a in columns
    )
    return VisibilityData(
        -u,  # station 1 minus 2 in files, V = sum I exp(+2 pi i (u l + v m)); here it is 2 minus 1
        -v,
        torch.stack((re, im)),
        w.rsqrt(),
        frequency,
        name,
        stations=torch.stack(when[1:]).long() if when else None,
        time=when[0] if when else None,
        channel=channel.long(),
    )
