from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits

from rimaging.datasets.fits import read_fits
from rimaging.datasets.fits_beams import Beams, beams_table, is_per_beam
from rimaging.datasets.save import save
from rimaging.errors import FormatError

SCALE = 1e-3  # degrees per pixel
HEADER = fits.Header(
    [
        ("CTYPE1", "RA---SIN"),
        ("CTYPE2", "DEC--SIN"),
        ("CTYPE3", "FREQ"),
        ("CTYPE4", "STOKES"),
        ("CRVAL1", 10.0),
        ("CRVAL2", 20.0),
        ("CRVAL3", 1e9),
        ("CRVAL4", 1.0),
        ("CRPIX1", 8.0),
        ("CRPIX2", 8.0),
        ("CRPIX3", 1.0),
        ("CRPIX4", 1.0),
        ("CDELT1", -SCALE),
        ("CDELT2", SCALE),
        ("CDELT3", 1e6),
        ("CDELT4", 1.0),
        ("CUNIT1", "deg"),
        ("CUNIT2", "deg"),
        ("CUNIT3", "Hz"),
        ("BUNIT", "JY/BEAM"),
    ]
)
CUBE = np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype(np.float32)
TARGET = {"method": "rim", "target_fwhm_pixels": 2.0}
AREA = math.pi / (4 * math.log(2))


def table(
    major: list[float], minor: list[float], unit: str | None = "arcsec", **more: list[int]
) -> fits.BinTableHDU:
    columns = [
        fits.Column("BMAJ", "E", unit=unit, array=np.array(major)),
        fits.Column("BMIN", "E", unit=unit, array=np.array(minor)),
        fits.Column("BPA", "E", unit="deg", array=np.full(len(major), 30.0)),
        *[fits.Column(name, "J", array=np.array(value)) for name, value in more.items()],
    ]
    return fits.BinTableHDU.from_columns(columns, name="BEAMS")


def write(path: Path, *hdus: fits.BinTableHDU, cube: np.ndarray = CUBE, **cards: object) -> Path:
    header = HEADER.copy()
    header.update(cards)
    fits.HDUList([fits.PrimaryHDU(cube, header), *hdus]).writeto(path)
    return path


def test_the_units_of_a_table_are_honoured(tmp_path: Path) -> None:
    major = [0.004, 0.005, 0.006]
    found = []
    for unit, factor in (("deg", 1.0), ("arcsec", 3600.0), (None, 3600.0)):
        beams = table([m * factor for m in major], [m * factor / 2 for m in major], unit)
        m = read_fits(write(tmp_path / f"{unit}.fits", beams, CASAMBM=True))
        assert m.beams is not None
        found.append(m.beams.major)
    for one in found:
        assert np.allclose(one, [major], rtol=1e-6)


def test_rows_are_sorted_by_channel(tmp_path: Path) -> None:
    beams = table([3.0, 1.0, 2.0], [3.0, 1.0, 2.0], CHAN=[2, 0, 1], POL=[0, 0, 0])
    m = read_fits(write(tmp_path / "f.fits", beams))
    assert m.beams is not None
    assert np.allclose(3600 * m.beams.major, [[1, 2, 3]])
    cut = read_fits(tmp_path / "f.fits", channels="1:3")
    assert cut.beams is not None
    assert np.allclose(3600 * cut.beams.major, [[2, 3]])


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_beam_count_unlike_naxis3_is_refused(tmp_path: Path, count: int) -> None:
    path = write(tmp_path / "f.fits", table([1.0] * count, [1.0] * count))
    with pytest.raises(FormatError, match=f"{count} beams and the image 3 channels"):
        read_fits(path)


def test_what_a_beams_table_must_have(tmp_path: Path) -> None:
    lame = table([1.0] * 3, [1.0] * 3)
    lame.columns.change_name("BPA", "PA")
    with pytest.raises(FormatError, match="no BPA"):
        read_fits(write(tmp_path / "a.fits", lame))
    with pytest.raises(FormatError, match="'Hz'"):
        read_fits(write(tmp_path / "b.fits", table([1.0] * 3, [1.0] * 3, "Hz")))
    m = read_fits(write(tmp_path / "c.fits", CASAMBM=True))  # flint#321: the table was lost
    assert m.beams is None
    assert any("no BEAMS table" in note for note in m.provenance["assumed"])


def test_channels_without_a_beam_stay_without_one(tmp_path: Path) -> None:
    # spectral-cube#734, carta-backend#1432: NaN beams
    m = read_fits(write(tmp_path / "f.fits", table([14.4, np.nan, 0.0], [7.2, np.nan, 0.0])))
    assert m.beams is not None
    assert np.isnan(m.beams.major).tolist() == [[False, True, True]]
    out = save(tmp_path / "out.fits", m.data, m, provenance=TARGET)
    written = fits.getdata(out, "BEAMS")
    assert np.isnan(written["BMAJ"]).tolist() == [False, True, True]
    listed = json.loads((tmp_path / "out.json").read_text())["beams_of_input_arcsec"]
    assert listed[0] == {"BMAJ": pytest.approx(14.4), "BMIN": pytest.approx(7.2), "BPA": 30.0}
    assert listed[1]["BMAJ"] is None


def test_a_cube_in_jy_per_beam_gets_the_beams_of_the_output(tmp_path: Path) -> None:
    major, minor = np.array([3.0, 4.0, 5.0]), np.array([2.0, 3.0, 4.0])  # pixels
    path = write(tmp_path / "f.fits", table(list(3600 * SCALE * major), list(3600 * SCALE * minor)))
    m = read_fits(path)
    out = save(tmp_path / "out.fits", m.data, m, provenance=TARGET)
    with fits.open(out) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "PSFOUT", "BEAMS"]
        science, beams = hdus["SCI"], hdus["BEAMS"]
        assert science.header["BUNIT"] == "Jy/beam"
        assert science.header["CASAMBM"] is True
        assert "BMAJ" not in science.header
        factor = 4.0 / (major * minor)
        assert np.allclose(science.data, CUBE * factor[None, :, None, None], rtol=1e-5)
        assert np.allclose(beams.data["BMAJ"], 2 * 3600 * SCALE, rtol=1e-6)
        assert (beams.header["NCHAN"], beams.header["NPOL"]) == (3, 1)
        assert (beams.header["TUNIT1"], beams.header["TUNIT3"]) == ("arcsec", "deg")
        assert beams.data["CHAN"].tolist() == [0, 1, 2]
    assert "beam" in json.loads((tmp_path / "out.json").read_text())["converted"][0]


@pytest.mark.parametrize("target", [2.0, 0.0])
def test_flux_is_the_same_in_every_unit(tmp_path: Path, target: float) -> None:
    # a source of 5 Jy: its sum over the pixels divided by the area of the beam
    beam = (4 * SCALE, 3 * SCALE)
    image = np.zeros((16, 16), np.float32)
    image[5:9, 4:10] = 5 / 24 * AREA * 12
    path = write(tmp_path / "f.fits", cube=image, BMAJ=beam[0], BMIN=beam[1], BPA=15.0)
    m = read_fits(path)
    assert m.beams is not None
    assert m.beams.minor[0, 0] == beam[1]  # spectral-cube#237: BMIN became BMAJ
    facts = {"method": "rim", "target_fwhm_pixels": target}
    out = save(tmp_path / "out.fits", m.data, m, uncertainty=m.data, provenance=facts)
    with fits.open(out) as hdus:
        header, data = hdus["SCI"].header, hdus["SCI"].data.astype(float)
        assert np.array_equal(hdus["ERR"].data, hdus["SCI"].data)
    if target:
        assert header["BUNIT"] == "Jy/beam"
        assert header["BMAJ"] == header["BMIN"] == pytest.approx(2 * SCALE)
        area = AREA * header["BMAJ"] * header["BMIN"] / SCALE**2
    else:
        assert header["BUNIT"] == "Jy/pixel"
        assert "BMAJ" not in header
        area = 1.0
    assert data.sum() / area == pytest.approx(5, rel=1e-5)


def test_a_beam_without_its_minor_axis_is_not_made_round(tmp_path: Path) -> None:
    m = read_fits(write(tmp_path / "f.fits", cube=CUBE[0, 0], BMAJ=0.01))
    assert m.beams is None
    assert any("BMIN" in note for note in m.provenance["assumed"])


def test_the_beam_that_aips_left_in_the_history(tmp_path: Path) -> None:
    header = HEADER.copy()
    for width in (1, 2):
        header.add_history(f"AIPS   CLEAN BMAJ=  {width}.5000E-03 BMIN=  1.2500E-03 BPA=  -12.50")
    path = tmp_path / "f.fits"
    fits.PrimaryHDU(CUBE, header).writeto(path)
    m = read_fits(path)
    assert m.beams is not None
    found = [float(a[0, 0]) for a in (m.beams.major, m.beams.minor, m.beams.angle)]
    assert found == [2.5e-3, 1.25e-3, -12.5]


def test_units_per_beam() -> None:
    for text in ("Jy/beam", "JY/BEAM", "mJy beam-1", "Jy beam^-1", "K/Beam"):
        assert is_per_beam(text)
    for text in (None, "Jy/pixel", "nanomaggy", "beamed"):
        assert not is_per_beam(text)


def test_tables_come_back_as_they_were_written(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    minor = random.uniform(0.001, 0.002, (1, 3))
    beams = Beams(2 * minor, minor, random.uniform(0, 180, (1, 3)), table=True)
    m = read_fits(write(tmp_path / "f.fits", beams_table(beams)))
    assert m.beams is not None
    for name in ("major", "minor", "angle"):
        assert np.allclose(getattr(m.beams, name), getattr(beams, name), rtol=1e-6)


def test_other_units_stay_as_they_are(data_root: Path, tmp_path: Path) -> None:
    m = read_fits(data_root / "astro/radio/M31_256.fits.gz", region="100:120,90:105")
    out = save(tmp_path / "out.fits", m.data, m, provenance=TARGET)
    assert fits.getheader(out, "SCI")["BUNIT"] == "JY/PIXEL"
    assert torch.equal(read_fits(out).data, m.data)


def test_a_real_map_in_jy_per_beam(data_root: Path, tmp_path: Path) -> None:
    path = data_root / "astro/galactic_center/gc_bolocam_gps.fits.gz"
    m = read_fits(path, region="300:330,300:320")
    assert m.beams is not None
    out = save(tmp_path / "out.fits", m.data, m, provenance=TARGET)
    header = fits.getheader(out, "SCI")
    ratio = (header["BMAJ"] / 0.00916667) ** 2
    assert np.allclose(fits.getdata(out, "SCI"), ratio * m.data.numpy(), rtol=1e-5)


@pytest.mark.parametrize(
    ("units", "beam", "point"),
    [
        ("Jy/beam.km/s", "Jy/beam.km/s", "Jy/pixel.km/s"),
        ("Jy beam-1 km s-1", "Jy beam-1 km s-1", "Jy pixel-1 km s-1"),
        ("beam-1 Jy", "beam-1 Jy", "pixel-1 Jy"),
        ("km s-1 beam-1 Jy", "km s-1 beam-1 Jy", "km s-1 pixel-1 Jy"),
        ("W/m^2/beam", "W/m^2/beam", "W/m^2/pixel"),
        ("JY/BEAM*KM/S", "Jy/beam*KM/S", "Jy/pixel*KM/S"),
        ("MJy/beam", "MJy/beam", "MJy/pixel"),
    ],
)
def test_of_a_unit_only_the_beam_changes(units: str, beam: str, point: str, tmp_path: Path) -> None:
    path = write(tmp_path / "f.fits", cube=CUBE[0, 0], BUNIT=units, BMAJ=4 * SCALE, BMIN=3 * SCALE)
    m = read_fits(path)
    for target, expected in ((2.0, beam), (0.0, point)):
        facts = {"method": "rim", "target_fwhm_pixels": target}
        out = save(tmp_path / "out.fits", m.data, m, provenance=facts, overwrite=True)
        assert fits.getheader(out, "SCI")["BUNIT"] == expected


@pytest.mark.parametrize("units", ["K", "MJy/sr"])
def test_surface_brightness_keeps_its_values_and_gets_the_beam(units: str, tmp_path: Path) -> None:
    path = write(tmp_path / "f.fits", cube=CUBE[0, 0], BUNIT=units, BMAJ=4e-3, BMIN=3e-3, BPA=15.0)
    m = read_fits(path)
    out = save(tmp_path / "out.fits", m.data, m, provenance=TARGET)
    header = fits.getheader(out, "SCI")
    assert np.array_equal(fits.getdata(out, "SCI"), CUBE[0, 0]) and header["BUNIT"] == units
    assert header["BMAJ"] == header["BMIN"] == pytest.approx(2 * SCALE) and header["BPA"] == 0
    point = save(tmp_path / "0.fits", m.data, m, provenance={**TARGET, "target_fwhm_pixels": 0.0})
    assert "BMAJ" not in fits.getheader(point, "SCI")


def test_a_cube_in_kelvin_keeps_a_table_of_beams(tmp_path: Path) -> None:
    path = write(
        tmp_path / "f.fits", table([14.4, 12.0, 9.0], [7.2, 7.2, 7.2]), BUNIT="K", CASAMBM=True
    )
    m = read_fits(path)
    out = save(tmp_path / "out.fits", m.data, m, provenance=TARGET)
    assert fits.getheader(out, "SCI")["CASAMBM"] is True
    assert np.array_equal(fits.getdata(out, "SCI"), CUBE)
    assert np.allclose(fits.getdata(out, "BEAMS")["BMAJ"], 2 * 3600 * SCALE, rtol=1e-6)
