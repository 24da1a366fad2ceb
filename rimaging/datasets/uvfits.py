"""Random groups FITS (uvfits): the visibilities of one source, as AIPS, CASA and Difmap write."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rimaging.datasets.fits_open import open_fits
from rimaging.datasets.guard import existing_file
from rimaging.datasets.visibility_data import VisibilityData, good_visibilities
from rimaging.errors import FormatError

__all__ = ["read_uvfits"]

STOKES_I = 1
HANDS = ((-1, -2), (-5, -6))
"""Numbers of the correlations whose mean is Stokes I: RR and LL, XX and YY."""

MANY = 65536
"""Baselines of more than 255 antennas are ``2048 a + b`` and this, others ``256 a + b``."""


def read_uvfits(path: str | Path) -> VisibilityData:
    """Read random groups: baselines in seconds times the frequency; flagged visibilities left out.

    ``I = (RR + LL) / 2`` (or XX and YY) where both are good, else the one that is; a file of Stokes
    I as it is. Weights are ``1 / sigma^2``; antennas by themselves are left out. Channels and IFs,
    with the frequencies of the table AIPS FQ, become visibilities of their own.

    Raises FormatError for what holds no Stokes I, several sources, compressed visibilities, or no
    frequencies.

    Source: AIPS Memo 117, Greisen (2012).
    """
    path = existing_file(path)
    with open_fits(path) as file:
        from astropy.io import fits

        hdu = file.hdus[0]
        if not isinstance(hdu, fits.GroupsHDU):
            raise FormatError(f"{file.name!r} holds no random groups: it is no uvfits file.")
        header, groups = hdu.header, hdu.data
        axes = _axes(header, file.name)
        _check_one_source(groups, file.name)
        data = _ordered(np.asarray(groups.data, np.float64), axes, header["NAXIS"], file.name)
        frequency = _frequencies(header, axes, groups, file.hdus, data.shape[2:4], file.name)
        reference = _card(header, f"CRVAL{axes['FREQ']}", file.name)
        seconds = [_baseline(groups, letter, reference, file.name) for letter in ("UU", "VV")]
        stations, when = _stations(groups), _seconds_of_day(groups)
    number = axes["STOKES"]
    first, place = _card(header, f"CRVAL{number}", path.name), header.get(f"CRPIX{number}", 1)
    step = float(header.get(f"CDELT{number}", 1))
    stokes = [round(first + (i + 1 - place) * step) for i in range(data.shape[1])]
    real, imaginary, weight = _stokes_i(data, stokes, path.name)
    shape = real.shape  # (channel, IF, group)
    channel = np.arange(shape[0] * shape[1]).reshape(shape[0], shape[1], 1)
    columns = [frequency * seconds[0], frequency * seconds[1], real, imaginary, weight, channel]
    auto = (seconds[0] == 0) & (seconds[1] == 0)
    if stations is not None:
        auto = stations[0] == stations[1]
        columns += [] if when is None else [when, *stations]
    names = ("OBJECT", "TELESCOP", "DATE-OBS", "RADESYS")
    facts = {n: str(header[n]).strip() for n in names if n in header}
    if str(header.get("EQUINOX", header.get("EPOCH", ""))).strip("BJ ").startswith("1950"):
        facts["RADESYS"] = "FK4"
    found = good_visibilities(
        [np.broadcast_to(column, shape) for column in columns],
        float(frequency.flat[0]),
        path.name,
        np.broadcast_to(auto, shape),
    )
    return replace(found, position=_position(header, axes), facts=facts)


def _axes(header: Any, name: str) -> dict[str, int]:
    """Numbers of the axes of FITS by their name."""
    axes = {str(header.get(f"CTYPE{i}", "")).strip(): i for i in range(2, header["NAXIS"] + 1)}
    if "STOKES" not in axes or "FREQ" not in axes or axes.get("COMPLEX") != 2:
        raise FormatError(f"{name!r} lacks the axes COMPLEX, STOKES, FREQ of visibilities.")
    if header["NAXIS2"] != 3:
        raise FormatError(
            f"{name!r} has {header['NAXIS2']} numbers for a visibility, expected 3 (real, "
            "imaginary, weight): it is compressed or lacks its weights, write it out in full."
        )
    return axes


def _card(header: Any, card: str, name: str) -> float:
    """A number of the header that nothing can stand for."""
    value = header.get(card)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormatError(f"{name!r} has {card} = {value!r}, expected a number: repair the header.")
    return float(value)


def _check_one_source(groups: Any, name: str) -> None:
    if "SOURCE" in groups.parnames:
        count = len(np.unique(np.asarray(groups.par("SOURCE"))))
        if count > 1:
            raise FormatError(
                f"{name!r} holds {count} sources (SOURCE), expected one: split it (AIPS SPLIT, "
                "CASA split)."
            )


def _ordered(data: np.ndarray, axes: dict[str, int], total: int, name: str) -> np.ndarray:
    """``(complex, stokes, channel, IF, group)`` from the order of the file."""
    wanted = [axes[axis] for axis in ("COMPLEX", "STOKES", "FREQ", "IF") if axis in axes]
    data = np.moveaxis(data, [1 + total - number for number in wanted], range(len(wanted)))
    if "IF" not in axes:
        data = data[:, :, :, None]
    if data[0, 0, 0, 0].size != data.shape[4]:
        raise FormatError(f"{name!r} has several positions in a group, expected one source.")
    return data.reshape(data.shape[:5])


def _frequencies(
    header: Any, axes: dict[str, int], groups: Any, hdus: Any, shape: tuple[int, ...], name: str
) -> np.ndarray:
    """In Hz, ``(channel, IF, group or 1)``: the header's, and what AIPS FQ adds for each IF."""
    number = axes["FREQ"]
    reference = _card(header, f"CRVAL{number}", name)
    step = _card(header, f"CDELT{number}", name) if shape[0] > 1 else 0.0
    channel = (np.arange(shape[0]) + 1 - float(header.get(f"CRPIX{number}", 1)))[:, None, None]
    table = next((hdu for hdu in hdus[1:] if hdu.name == "AIPS FQ"), None)
    if table is None:
        if shape[1] > 1:
            raise FormatError(f"{name!r} has {shape[1]} IFs and no table AIPS FQ of frequencies.")
        frequency = reference + channel * step
    else:
        columns = ("IF FREQ", "CH WIDTH", "SIDEBAND")
        if any(column not in table.columns.names for column in columns):
            raise FormatError(f"the table AIPS FQ of {name!r} lacks {', '.join(columns)}.")
        rows = [np.asarray(table.data[column], float) for column in columns]
        if any(row.size != len(row) * shape[1] for row in rows) or not len(rows[0]):
            raise FormatError(f"the table AIPS FQ of {name!r} has not {shape[1]} IFs as its data.")
        offset, width, side = (row.reshape(len(row), shape[1]).T for row in rows)
        several = shape[1] > 1 or offset.shape[1] > 1
        if several:  # else the header says it
            width = np.where(width == 0, step, np.where(side < 0, -np.abs(width), width))
        steps = width if several else np.full_like(width, step)
        chosen = np.zeros(1, int)
        if "FREQSEL" in groups.parnames and "FRQSEL" in table.columns.names:
            listed = np.asarray(table.data["FRQSEL"], int).tolist()
            asked = np.asarray(groups.par("FREQSEL"), float).round().astype(int)
            if not set(asked.tolist()) <= set(listed):
                raise FormatError(f"{name!r} has a FREQSEL that its table AIPS FQ does not list.")
            chosen = np.array([listed.index(one) for one in asked.tolist()])
        frequency = (reference + offset[:, chosen])[None] + channel * steps[None][..., chosen]
    if not (np.isfinite(frequency) & (frequency > 0)).all():
        raise FormatError(
            f"{name!r} has frequencies down to {frequency.min():g} Hz, expected above 0: repair "
            f"CRVAL{number} and CDELT{number}."
        )
    return frequency


def _baseline(groups: Any, letters: str, reference: float, name: str) -> np.ndarray:
    """A baseline in seconds, whatever its name goes on with (UU, UU---SIN, UU--NCP).

    UU-L counts wavelengths at the frequency of reference.
    """
    for parameter in dict.fromkeys(groups.parnames):
        if parameter.startswith(letters):
            found = np.asarray(groups.par(parameter), np.float64)
            return found / reference if parameter[2:].startswith("-L") else found
    raise FormatError(f"{name!r} has no parameter {letters}: it is no uvfits file.")


def _stokes_i(
    data: np.ndarray, stokes: list[int], name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Real, imaginary and weight of Stokes I from ``(3, stokes, channel, IF, group)``."""
    values, weight = data[:2], data[2]
    if STOKES_I in stokes:
        place = stokes.index(STOKES_I)
        return values[0, place], values[1, place], weight[place]
    places = next(
        (p for hands in HANDS if (p := [stokes.index(h) for h in hands if h in stokes])), None
    )
    if places is None:
        raise FormatError(
            f"{name!r} holds the correlations {stokes} (STOKES), expected I (1), RR and LL (-1, "
            "-2) or XX and YY (-5, -6): only Stokes I is imaged."
        )
    values, weight = values[:, places], weight[places]
    good = (weight > 0) & np.isfinite(weight) & np.isfinite(values).all(axis=0)
    count = good.sum(axis=0)
    mean = np.where(good, values, 0).sum(axis=1) / np.maximum(count, 1)
    variance = np.where(good, 1 / np.where(good, weight, 1), 0).sum(axis=0)
    total = np.where(count > 0, count**2 / np.where(variance > 0, variance, 1), 0)
    return mean[0], mean[1], total


def _stations(groups: Any) -> list[np.ndarray] | None:
    """The numbers of both stations of each group, where the file has them."""
    if {"ANTENNA1", "ANTENNA2"} <= set(groups.parnames):
        return [np.asarray(groups.par(f"ANTENNA{i}"), float).round() for i in (1, 2)]
    if "BASELINE" not in groups.parnames:
        return None
    # the fraction counts subarrays
    pair = np.floor(np.asarray(groups.par("BASELINE"), np.float64) + 1e-3).astype(int)
    many = pair >= MANY
    base = np.where(many, 2048, 256)
    return list(np.divmod(np.where(many, pair - MANY, pair), base))


def _seconds_of_day(groups: Any) -> np.ndarray | None:
    """Seconds from the first midnight; the day is in two parts, the second DATE or _DATE."""
    names = [name for name in ("DATE", "_DATE") if name in groups.parnames]
    if not names:
        return None
    day = sum(np.asarray(groups.par(name), np.float64) for name in names)
    seconds: np.ndarray = np.round(86400 * (day - np.floor(np.min(day))), 2)
    return seconds


def _position(header: Any, axes: dict[str, int]) -> tuple[float, float] | None:
    """Right ascension and declination in degrees: of the phase centre, else where it pointed."""
    centre = [f"CRVAL{axes[axis]}" for axis in ("RA", "DEC") if axis in axes]
    for names in (centre, ["OBSRA", "OBSDEC"]):
        found = [header.get(name) for name in names]
        if len(found) == 2 and all(isinstance(v, int | float) for v in found) and any(found):
            return float(found[0]), float(found[1])
    return None
