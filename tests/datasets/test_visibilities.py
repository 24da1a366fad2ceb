"""Visibilities from files: the same observation as uvfits and as a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rimaging.datasets.visibilities import VisibilityData, read_visibilities
from rimaging.errors import FormatError
from rimaging.operators.visibilities import Visibilities, dirty_beam, dirty_image, weights_of

SCAN = "astro/eht_m87/SR1_M87_2017_095_lo_hops_netcal_StokesI"


def test_both_forms_of_a_real_observation_agree(data_root: Path) -> None:
    groups = read_visibilities(data_root / f"{SCAN}.uvfits.gz")
    table = read_visibilities(data_root / f"{SCAN}.csv.gz")
    assert groups.frequency == pytest.approx(table.frequency, rel=1e-6)
    assert abs(len(groups.u) - len(table.u)) < 10

    def order(data: object) -> torch.Tensor:
        return torch.argsort(torch.hypot(data.u, data.v) + 1e-9 * data.u.abs())  # type: ignore[attr-defined]

    if len(groups.u) == len(table.u):
        a, b = order(groups), order(table)
        amplitude = [data.values[:, i].norm(dim=0) for data, i in ((groups, a), (table, b))]
        assert torch.allclose(amplitude[0], amplitude[1], rtol=1e-3, atol=1e-4)
        assert torch.allclose(groups.sigma[a], table.sigma[b], rtol=1e-3)
    microarcsecond = np.pi / 180 / 3600e6
    chosen = slice(0, 400)
    a = Visibilities(table.u[chosen], table.v[chosen], (32, 32), 4 * microarcsecond, torch.float64)
    weights = weights_of(table.u[chosen], table.v[chosen], table.sigma[chosen], 32 * 4e-12)
    beam = dirty_beam(a, weights)
    assert float(beam.max()) == pytest.approx(1) and float(beam[16, 16]) == pytest.approx(1)
    image = dirty_image(a, table.values[:, chosen], weights)
    assert bool(torch.isfinite(image).all()) and float(image.abs().max()) < 1.3


def test_polarised_groups_of_two_channels(tmp_path: Path) -> None:
    from astropy.io import fits

    data = np.zeros((3, 1, 1, 2, 2, 3), dtype="f4")  # group, dec, ra, freq, stokes, complex
    data[..., 0, :] = (1.0, 2.0, 4.0)  # RR
    data[..., 1, :] = (3.0, 0.0, 4.0)  # LL
    data[1, ..., 1, 2] = -4  # LL flagged
    data[2, ..., :, 2] = 0  # both flagged
    seconds = np.array([1e-6, 2e-6, 3e-6])
    groups = fits.GroupData(
        data, bitpix=-32, parnames=["UU---SIN", "VV---SIN"], pardata=[seconds, -seconds]
    )
    hdu = fits.GroupsHDU(groups)
    for i, (kind, value, step) in enumerate(
        (("COMPLEX", 1, 1), ("STOKES", -1, -1), ("FREQ", 1e9, 5e8), ("RA", 0, 1), ("DEC", 0, 1)), 2
    ):
        hdu.header.update(
            {f"CTYPE{i}": kind, f"CRVAL{i}": value, f"CDELT{i}": step, f"CRPIX{i}": 1}
        )
    hdu.writeto(tmp_path / "two.uvfits")
    found = read_visibilities(tmp_path / "two.uvfits")
    # station 1 minus 2 in the file, 2 minus 1 here
    assert torch.allclose(-found.u, torch.tensor([1e3, 2e3, 1.5e3, 3e3]).double(), rtol=1e-5)
    assert torch.allclose(found.v, -found.u)
    assert found.values.T.tolist() == [[2.0, 1.0], [1.0, 2.0]] * 2
    assert found.sigma.tolist() == pytest.approx([0.5 / 2**0.5, 0.5] * 2)


@pytest.mark.parametrize("scan", ["095_lo", "095_hi", "101_lo", "101_hi"])
def test_a_table_says_who_and_when_as_uvfits_does(scan: str, data_root: Path) -> None:
    path = data_root / f"astro/eht_m87/SR1_M87_2017_{scan}_hops_netcal_StokesI"
    groups, table = (read_visibilities(f"{path}.{end}.gz") for end in ("uvfits", "csv"))
    assert table.facts["DATE-OBS"] == groups.facts["DATE-OBS"]
    one, other = groups.scan_averages(), table.scan_averages()
    assert len(one.u) == len(other.u)

    def order(data: VisibilityData) -> torch.Tensor:
        return torch.argsort(torch.hypot(data.u, data.v))

    a, b = order(one), order(other)
    assert torch.allclose(one.sigma[a], other.sigma[b], rtol=1e-3)
    assert torch.allclose(one.values[:, a].norm(dim=0), other.values[:, b].norm(dim=0), atol=1e-3)


def test_antennas_by_themselves_are_left_out_of_tables(tmp_path: Path) -> None:
    head = "#time(UTC),T1,T2,U(lambda),V(lambda),Iamp(Jy),Iphase(d),Isigma(Jy)\n"
    rows = "0.1,A,B,1e9,2e9,1,0,0.1\n0.1,A,A,0,0,900,0,0.1\n"
    (tmp_path / "table.csv").write_text(head + rows)
    assert read_visibilities(tmp_path / "table.csv").u.tolist() == [-1e9]


def test_what_holds_no_visibilities_is_refused(tmp_path: Path) -> None:
    from astropy.io import fits

    fits.writeto(tmp_path / "image.uvfits", np.ones((4, 4)))
    with pytest.raises(FormatError, match="random groups"):
        read_visibilities(tmp_path / "image.uvfits")
    (tmp_path / "table.csv").write_text("#a,b,c,d,e\n1,2,3,4,5\n")
    with pytest.raises(FormatError, match="columns"):
        read_visibilities(tmp_path / "table.csv")
    head = "#time(UTC),T1,T2,U(lambda),V(lambda),Iamp(Jy),Iphase(d),Isigma(Jy)\n"
    (tmp_path / "hours.csv").write_text(head + "noon,A,B,1e9,2e9,1,0,0.1\n")
    with pytest.raises(FormatError, match="no visibility"):
        read_visibilities(tmp_path / "hours.csv")
    (tmp_path / "short.csv").write_text(head + "0.1,A,B,1.0\n")
    with pytest.raises(FormatError, match="no visibility"):
        read_visibilities(tmp_path / "short.csv")


@pytest.mark.parametrize("hours", [0.05, 6.0])
def test_the_mean_of_a_scan_does_not_smear_the_field(hours: float) -> None:
    """However long a track without gaps is, a point at the edge of the field keeps its flux."""
    time = torch.arange(0, 3600 * hours, 10, dtype=torch.float64)
    turn = time * 2 * np.pi / 86164
    places = torch.tensor([[0.0, 0.0], [8e4, 0.0], [2e4, 5e4]], dtype=torch.float64)
    parts = []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        e, n = places[j] - places[i]
        u, v = e * turn.cos() - n * turn.sin(), e * turn.sin() + n * turn.cos()
        parts.append((u, v, torch.full_like(time, i), torch.full_like(time, j), time))
    u, v, one, two, when = (torch.cat(column) for column in zip(*parts, strict=True))
    field = 2e-4  # radians
    phase = -2 * np.pi * v * field / 2
    values = torch.stack((phase.cos(), phase.sin()))
    sigma = torch.ones_like(u)
    data = VisibilityData(u, v, values, sigma, stations=torch.stack((one, two)).long(), time=when)
    mean = data.scan_averages(reach=0.5 / field)
    assert float(mean.values.norm(dim=0).min()) > 0.89  # sinc(1/4)
    assert float(mean.sigma.pow(-2).sum()) == pytest.approx(len(u))
    if hours < 1:
        assert torch.equal(mean.values, data.scan_averages().values) and len(mean.u) == 3
    else:
        assert 3 * 20 < len(mean.u) < len(u) / 5
