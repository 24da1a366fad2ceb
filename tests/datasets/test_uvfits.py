"""uvfits in all its layouts: whatever it is, the visibilities are those of the same sky."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rimaging.datasets.visibilities import VisibilityData, read_uvfits
from rimaging.errors import FormatError

FREQUENCY, WIDTH = 1e9, 1e7
PLACE = (3e-4, -2e-4)
"""Of a point of 1 Jy, to the east and to the north, in radians."""


def pairs(antennas: int = 4, times: int = 3) -> np.ndarray:
    """``(group, 5)``: both stations, baseline in seconds, seconds of the day."""
    places = np.random.default_rng(0).normal(size=(times, antennas, 2)) * 1e-6
    return np.array(
        [
            (i + 1, j + 1, *(places[t, i] - places[t, j]), 3600.0 + 10 * t)
            for t in range(times)
            for i in range(antennas)
            for j in range(i + 1, antennas)
        ]
    )


def write(
    path: Path,
    stokes: tuple[int, ...] = (-1, -2),
    channels: int = 1,
    offsets: tuple[float, ...] | None = None,
    selections: tuple[float, ...] | None = None,
    brightness: dict[int, float] | None = None,
    groups: np.ndarray | None = None,
    parameters: dict[str, np.ndarray] | None = None,
    without: tuple[str, ...] = (),
    numbers: int = 3,
    **cards: Any,
) -> Path:
    """A point of 1 Jy at `PLACE`, as AIPS would write it."""
    from astropy.io import fits

    rows = pairs() if groups is None else groups
    shape = (len(rows), 1, 1, len(offsets or (0,)), channels, len(stokes), 3)
    data = np.zeros(shape, "f4")
    chosen = np.arange(len(rows)) % len(selections or (0,))
    for part, offset in enumerate(offsets or (0.0,)):
        for channel in range(channels):
            frequency = FREQUENCY + offset + channel * WIDTH
            frequency = frequency + np.array(selections or (0.0,))[chosen]
            path_difference = rows[:, 2] * PLACE[0] + rows[:, 3] * PLACE[1]
            seen = np.exp(2j * np.pi * frequency * path_difference)  # station 1 minus 2
            seen = np.where(rows[:, 0] == rows[:, 1], 500, seen)  # a receiver's own noise
            for place, number in enumerate(stokes):
                value = seen * (brightness or {}).get(number, 1.0)
                cell = data[:, 0, 0, part, channel, place]
                cell[:, 0], cell[:, 1], cell[:, 2] = value.real, value.imag, 4.0
    given = {
        "UU---SIN": rows[:, 2],
        "VV---SIN": rows[:, 3],
        "BASELINE": 256 * rows[:, 0] + rows[:, 1],
        "DATE": np.full(len(rows), 2457854.5),
        "_DATE": rows[:, 4] / 86400,
        **({"FREQSEL": chosen + 1.0} if selections else {}),
        **(parameters or {}),
    }
    given = {name: value for name, value in given.items() if name not in without}
    made = fits.GroupData(
        data[..., :numbers], bitpix=-32, parnames=list(given), pardata=list(given.values())
    )
    hdu = fits.GroupsHDU(made)
    step = stokes[1] - stokes[0] if len(stokes) > 1 else 1
    axes = (("COMPLEX", 1, 1), ("STOKES", stokes[0], step), ("FREQ", FREQUENCY, WIDTH))
    for i, (kind, value, each) in enumerate(
        (*axes, ("IF", 1, 1), ("RA", 30, 1), ("DEC", 40, 1)), 2
    ):
        hdu.header.update(
            {f"CTYPE{i}": kind, f"CRVAL{i}": value, f"CDELT{i}": each, f"CRPIX{i}": 1}
        )
    hdu.header.update(cards)
    hdus = [hdu]
    if offsets or selections:
        ifs = len(offsets or (0,))
        rows_of = [[a + b for b in offsets or (0.0,)] for a in selections or (0.0,)]
        table = [
            fits.Column("FRQSEL", "J", array=np.arange(len(rows_of)) + 1),
            fits.Column("IF FREQ", f"{ifs}D", array=np.array(rows_of)),
            fits.Column("CH WIDTH", f"{ifs}E", array=np.full((len(rows_of), ifs), WIDTH)),
            fits.Column("SIDEBAND", f"{ifs}J", array=np.ones((len(rows_of), ifs), int)),
        ]
        hdus.append(fits.BinTableHDU.from_columns(table, name="AIPS FQ"))
    fits.HDUList(hdus).writeto(path)
    return path


def misfit(found: VisibilityData) -> float:
    """Of the point, in units of its flux."""
    phase = -2 * np.pi * (found.u * PLACE[0] + found.v * PLACE[1])
    seen = torch.stack((phase.cos(), phase.sin()))
    return float((found.values - seen).abs().max())


LAYOUTS: dict[str, dict[str, Any]] = {
    "channels": {"channels": 3},
    "IFs": {"channels": 2, "offsets": (0.0, 5e8)},
    "an IF off the reference": {"offsets": (2e8,)},
    "selections of frequency": {"selections": (0.0, 3e8)},
    "four hands": {"stokes": (-1, -2, -3, -4), "brightness": {-1: 1.2, -2: 0.8, -3: 9, -4: 9}},
    "hands backwards": {"stokes": (-4, -3, -2, -1), "brightness": {-1: 1.2, -2: 0.8, -3: 9, -4: 9}},
    "linear, backwards": {"stokes": (-8, -7, -6, -5), "brightness": {-7: 9, -8: 9}},
    "V first": {"stokes": (4, 3, 2, 1), "brightness": {4: 9, 3: 9, 2: 9}},
    "I alone": {"stokes": (1,)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_holds_the_same_sky(layout: str, tmp_path: Path) -> None:
    found = read_uvfits(write(tmp_path / "a.uvfits", **LAYOUTS[layout]))
    given = LAYOUTS[layout]
    assert len(found.u) == 18 * given.get("channels", 1) * len(given.get("offsets", (0,)))
    assert misfit(found) < 1e-4
    assert len(found.moments().unique()) == 3 * len(found.u) // 18 or "selections" in given


def test_antennas_by_themselves_are_left_out(tmp_path: Path) -> None:
    alone = [(k, k, 0.0, 0.0, 3600.0 + 10 * t) for t in range(3) for k in (1, 2, 3, 4)]
    path = write(tmp_path / "a.uvfits", groups=np.vstack((pairs(), alone)))
    assert len(read_uvfits(path).u) == 18 and misfit(read_uvfits(path)) < 1e-4
    path = write(tmp_path / "b.uvfits", groups=np.vstack((pairs(), alone)), without=("BASELINE",))
    assert len(read_uvfits(path).u) == 18


def test_weights_that_are_not_finite_count_as_flags(tmp_path: Path) -> None:
    from astropy.io import fits

    with fits.open(write(tmp_path / "a.uvfits")) as hdus:
        hdus[0].data.data[0, ..., 2] = np.inf
        hdus[0].data.data[1, ..., 0, 2] = np.nan
        hdus.writeto(tmp_path / "b.uvfits")
    found = read_uvfits(tmp_path / "b.uvfits")
    assert len(found.u) == 17
    assert found.sigma[0] == 0.5  # of one hand; of both it is 0.5 / sqrt(2)


def test_stations_and_times_in_every_spelling(tmp_path: Path) -> None:
    rows = pairs()
    plain = read_uvfits(write(tmp_path / "a.uvfits"))
    assert plain.time is not None and plain.stations is not None
    assert plain.time.unique().diff().tolist() == pytest.approx([10, 10], abs=0.02)
    named = {"ANTENNA1": rows[:, 0], "ANTENNA2": rows[:, 1]}
    path = write(tmp_path / "b.uvfits", parameters=named, without=("BASELINE",))
    assert torch.equal(read_uvfits(path).stations, plain.stations)  # type: ignore[arg-type]
    many = {"BASELINE": 65536 + 2048 * (rows[:, 0] + 300) + rows[:, 1] + 300}
    found = read_uvfits(write(tmp_path / "c.uvfits", parameters=many)).stations
    assert torch.equal(found - 300, plain.stations)  # type: ignore[operator,arg-type]
    subarray = {"BASELINE": 256 * rows[:, 0] + rows[:, 1] + 0.01}
    path = write(tmp_path / "d.uvfits", parameters=subarray)
    assert torch.equal(read_uvfits(path).stations, plain.stations)  # type: ignore[arg-type]


def test_baselines_in_wavelengths(tmp_path: Path) -> None:
    rows = pairs()
    waves = {"UU-L-SIN": FREQUENCY * rows[:, 2], "VV-L-SIN": FREQUENCY * rows[:, 3]}
    path = write(
        tmp_path / "a.uvfits", channels=2, parameters=waves, without=("UU---SIN", "VV---SIN")
    )
    assert misfit(read_uvfits(path)) < 1e-4


def test_the_phase_centre_is_where_the_sky_is(tmp_path: Path) -> None:
    pointed = {"OBSRA": 31.0, "OBSDEC": 41.0}
    found = read_uvfits(write(tmp_path / "a.uvfits", EPOCH=1950.0, **pointed))
    assert found.position == (30.0, 40.0) and found.facts["RADESYS"] == "FK4"
    found = read_uvfits(write(tmp_path / "b.uvfits", EPOCH=2000.0, CRVAL6=0, CRVAL7=0, **pointed))
    assert found.position == (31.0, 41.0) and "RADESYS" not in found.facts


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "Q and U": ({"stokes": (2, 3)}, "Stokes I"),
    "cross hands": ({"stokes": (-3, -4)}, "Stokes I"),
    "several sources": ({"parameters": {"SOURCE": np.arange(18) % 2 + 1.0}}, "2 sources"),
    "compressed": ({"numbers": 1}, "compressed"),
    "no weights": ({"numbers": 2}, "weights"),
    "no frequency": ({"CRVAL4": 0.0}, "above 0"),
    "a frequency in words": ({"CRVAL4": "L band"}, "CRVAL4"),
    "another table of frequencies": (
        {"selections": (0.0,), "parameters": {"FREQSEL": np.full(18, 7.0)}},
        "FREQSEL",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_observation_of_one_source_is_refused(what: str, tmp_path: Path) -> None:
    given, words = REFUSED[what]
    with pytest.raises(FormatError, match=words):
        read_uvfits(write(tmp_path / "a.uvfits", **given))


def test_ifs_without_frequencies_are_refused(tmp_path: Path) -> None:
    from astropy.io import fits

    with fits.open(write(tmp_path / "a.uvfits", offsets=(0.0, 5e8))) as hdus:
        hdus[0].writeto(tmp_path / "b.uvfits")
    with pytest.raises(FormatError, match="AIPS FQ"):
        read_uvfits(tmp_path / "b.uvfits")
