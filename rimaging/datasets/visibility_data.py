"""Visibilities in memory: baselines, values, noise, and who took them when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from rimaging.errors import DataError, FormatError, ShapeError

__all__ = ["VisibilityData", "good_visibilities"]


@dataclass(frozen=True, eq=False)
class VisibilityData:
    """Stokes I of one source: ``u, v`` in wavelengths, ``(n,)``; values in Jy, ``(2, n)``.

    Tensors; NumPy arrays become some.

    Signs as in `rimaging.operators.visibilities`: ``V = sum I exp(-2 pi i (u l + v m))``, l to the
    east. Files state ``u, v`` of the other sign, and readers turn them.

    values: real and imaginary part. sigma: standard deviation of each of the two, in Jy.
    frequency: in Hz, of the first channel. stations: numbers of the two antennas, ``(2, n)``; time:
    in seconds; channel: ``(n,)``; all three are needed only where gains are unknown. position:
    right ascension and declination of the phase centre in degrees. facts: OBJECT, TELESCOP,
    DATE-OBS and RADESYS, where the file states them.
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
        for name in ("u", "v", "values", "sigma", "stations", "time", "channel"):
            given = getattr(self, name)
            if isinstance(given, np.ndarray):  # of any byte order, as FITS has them
                native = given.astype(given.dtype.newbyteorder("="))
                object.__setattr__(self, name, torch.from_numpy(native))
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
                f"{self.name!r} does not say which antennas and when (BASELINE, DATE; of a table "
                "T1, T2, time(UTC)): without "
                "them gains cannot be found; image it as calibrated"
            )
        channel = torch.zeros_like(self.time) if self.channel is None else self.channel.double()
        both = torch.stack((self.time, channel))
        found: Tensor = torch.unique(both, dim=1, return_inverse=True)[1]
        return found

    def scan_averages(self, gap: float = 60.0, reach: float = math.inf) -> VisibilityData:
        """Mean over each scan, baseline and channel, weighted by ``1 / sigma^2``.

        A scan ends where nothing was taken for ``gap`` seconds, and a long one is cut into equal
        parts in which no baseline moves farther than ``reach`` wavelengths: the mean of a track is
        no visibility. Its time is that of its beginning.
        """
        self.moments()
        assert self.time is not None and self.stations is not None
        instants, place = torch.unique(self.time, return_inverse=True)
        begins = torch.cat((torch.ones(1).bool(), instants.diff() > gap))
        begins = self._cut(instants, begins, gap, reach)
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

    def _cut(self, instants: Tensor, begins: Tensor, gap: float, reach: float) -> Tensor:
        """Where parts of scans begin, ``(instant,)``: scans as they are, or shorter."""
        assert self.time is not None and self.stations is not None
        channel = torch.zeros_like(self.time) if self.channel is None else self.channel
        keys = torch.stack((channel.long(), *self.stations))
        baseline = torch.unique(keys, dim=1, return_inverse=True)[1]
        order = self.time.argsort()
        order = order[baseline[order].argsort(stable=True)]
        step, same = self.time[order].diff(), baseline[order].diff() == 0
        near = same & (step > 0) & (step <= gap)
        way = torch.hypot(self.u[order].diff(), self.v[order].diff())
        speed = float((way[near] / step[near]).max()) if bool(near.any()) else 0.0
        scan = begins.cumsum(0) - 1
        first = instants[begins][scan]
        last = instants[torch.cat((begins[1:], torch.ones(1).bool()))][scan]
        parts = ((last - first) * speed / reach).ceil().clamp_min(1)
        part = ((instants - first) * parts / (last - first).clamp_min(1e-9)).floor()
        part = torch.minimum(part, parts - 1)
        fresh: Tensor = torch.cat((torch.ones(1).bool(), part.diff() != 0)) | begins
        return fresh


def good_visibilities(
    columns: Sequence[np.ndarray], frequency: float, name: str, auto: np.ndarray
) -> VisibilityData:
    """What is good of u, v, real, imaginary, weight, channel and perhaps time and stations.

    ``auto`` is true for antennas seen by themselves: their power holds the receiver's noise, and a
    sky that is imaged without its sum has no place for it. Raises FormatError where nothing is
    left.
    """
    real, imaginary, weight = columns[2:5]
    good = (weight > 0) & np.isfinite(weight) & np.isfinite(real) & np.isfinite(imaginary) & ~auto
    if not good.any():
        raise FormatError(f"{name!r} has no visibility of two antennas with a weight above 0.")
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
