from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from rimaging.datasets.fits import read_fits, read_fits_array
from rimaging.datasets.section import find_section
from rimaging.errors import OptionError, ShapeError

HEADER = fits.Header(
    [
        ("NAXIS1", 50),
        ("NAXIS2", 40),
        ("CTYPE1", "RA---TAN-SIP"),
        ("CTYPE2", "DEC--TAN-SIP"),
        ("CRPIX1", 20.0),
        ("CRPIX2", 15.0),
        ("CRVAL1", 150.0),
        ("CRVAL2", 2.0),
        ("CD1_1", -1e-4),
        ("CD1_2", 1e-5),
        ("CD2_1", 1e-5),
        ("CD2_2", 1e-4),
        ("A_ORDER", 2),
        ("A_2_0", 2e-4),
        ("B_ORDER", 2),
        ("B_0_2", 1e-4),
        ("CRPIX1A", 1.0),
        ("LTV1", 0.0),
    ]
)
CUBE = ["RA---SIN", "DEC--SIN", "FREQ", "STOKES"]


@given(st.tuples(*[st.integers(0, 19)] * 4))
def test_a_cut_out_shows_the_same_sky(corner: tuple[int, int, int, int]) -> None:
    x0, y0, width, height = corner
    text = f"{x0}:{x0 + width + 1},{y0}:{y0 + height + 1}"
    section = find_section((40, 50), HEADER, text, None)
    assert section is not None
    assert section.shape == (height + 1, width + 1)
    cut = section.header(HEADER)
    before = WCS(HEADER).all_pix2world([[x0 + 0.5, y0 + 3.0]], 0)
    after = WCS(cut).all_pix2world([[0.5, 3.0]], 0)
    assert np.allclose(before, after, rtol=0, atol=1e-11)
    assert (cut["CRPIX1A"], cut["LTV1"]) == (1.0 - x0, -x0)
    assert (cut["NAXIS1"], cut["NAXIS2"]) == (width + 1, height + 1)


def test_open_ends_and_clipping() -> None:
    def ranges(text: str) -> tuple[tuple[int, int], ...]:
        section = find_section((40, 50), HEADER, text, None)
        assert section is not None
        return section.ranges

    assert ranges("10:,:7") == ((0, 7), (10, 50))
    assert ranges("[45:99,30:99]") == ((30, 40), (45, 50))


@pytest.mark.parametrize("as_file", [False, True])
@pytest.mark.parametrize("system", ["image", "fk5"])
def test_ds9_regions(tmp_path: Path, system: str, as_file: bool) -> None:
    pytest.importorskip("regions")
    if system == "image":
        text = "image;box(21,11,10,6,0)"  # DS9 counts from 1
    else:
        centre = WCS(HEADER).pixel_to_world(20, 10)
        assert isinstance(centre, SkyCoord)
        text = f'fk5;box({centre.ra.deg:.8f},{centre.dec.deg:.8f},3.6",2.16",0)'
    if as_file:
        path = tmp_path / "a.reg"
        path.write_text(f"# Region file format: DS9\n{text.replace(';', chr(10))}\n")
        text = str(path)
    section = find_section((40, 50), HEADER, text, None)
    assert section is not None
    (y0, y1), (x0, x1) = section.ranges
    assert abs((x0 + x1 - 1) / 2 - 20) <= 0.5
    assert abs((y0 + y1 - 1) / 2 - 10) <= 0.5
    assert 10 <= x1 - x0 <= 12
    assert 6 <= y1 - y0 <= 9


@pytest.mark.parametrize(
    ("cards", "wanted"),
    [
        ({}, ((8, 14), (16, 26))),
        ({"LTV1": -4.0, "LTV2": -3.0}, ((5, 11), (12, 22))),  # a part of the detector
        (
            {"LTM1_1": 0.5, "LTM2_2": 0.5, "LTV1": 0.25, "LTV2": 0.25},
            ((4, 7), (8, 13)),
        ),  # binned by two
        ({"LTM1_1": -1.0, "LTV1": 51.0}, ((8, 14), (24, 34))),  # read from the other side
    ],
)
def test_physical_regions_are_pixels_of_the_detector(
    cards: dict[str, float], wanted: tuple[tuple[int, int], ...]
) -> None:
    """``image = LTM physical + LTV`` of pixel edges 16.5 to 26.5 and 8.5 to 14.5."""
    pytest.importorskip("regions")
    header = fits.Header(list(cards.items()))
    for text in ("physical;box(21.5,11.5,10,6,0)", "# DS9\nphysical\nbox(21.5,11.5,10,6,0)\n"):
        section = find_section((40, 50), header, text, None)
        assert section is not None and section.ranges == wanted
    mixed = "physical\nbox(21,11,10,6,0)\nimage\ncircle(5,5,2)"
    with pytest.raises(OptionError, match="mixes physical and image"):
        find_section((40, 50), header, mixed, None)


def test_what_a_region_leaves_out_does_not_widen_it() -> None:
    pytest.importorskip("regions")
    text = "image\nbox(21,11,10,6,0)\n-circle(40,30,5)"
    with_hole, plain = (
        find_section((40, 50), HEADER, one, None) for one in (text, text.rpartition("\n")[0])
    )
    assert with_hole == plain


def test_a_plate_of_the_dss_moves_too() -> None:
    """DS9 goes by the solution of the plate, which counts from CNPIX."""
    header = fits.Header([("CNPIX1", 12237), ("CNPIX2", 19965)])
    section = find_section((40, 50), header, "10:30,5:25", None)
    assert section is not None
    cut = section.header(header)
    assert (cut["CNPIX1"], cut["CNPIX2"]) == (12247, 19970)


@pytest.mark.parametrize(
    ("region", "channels", "error"),
    [
        ("60:70,0:4", None, ShapeError),
        ("5:5,0:4", None, ShapeError),
        ("nonsense", None, OptionError),
        ("image;blob(1,2)", None, OptionError),
        (None, "0:2", OptionError),
    ],
)
def test_what_is_no_region_is_named(
    region: str | None, channels: str | None, error: type[Exception]
) -> None:
    pytest.importorskip("regions")
    with pytest.raises(error):
        find_section((40, 50), HEADER, region, channels)


def test_a_region_in_the_sky_needs_a_wcs() -> None:
    pytest.importorskip("regions")
    with pytest.raises(OptionError, match="WCS"):
        find_section((40, 50), fits.Header(), 'fk5;circle(150,2,5")', None)


def test_without_the_library_of_regions_pixels_still_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "regions", None)
    assert find_section((40, 50), HEADER, "1:5,2:7", None) is not None
    with pytest.raises(OptionError, match=r"pip install 'rimaging\[astro\]'"):
        find_section((40, 50), HEADER, "image;circle(20,20,5)", None)


@pytest.mark.parametrize("order", [(3, 4), (4, 3)])
def test_channels_are_found_wherever_stokes_is(tmp_path: Path, order: tuple[int, int]) -> None:
    kinds = [*CUBE[:2], *(CUBE[i - 1] for i in order)]
    lengths = {"FREQ": 6, "STOKES": 1}
    shape = (lengths[kinds[3]], lengths[kinds[2]], 8, 9)
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    header = fits.Header([(f"CTYPE{i + 1}", kind) for i, kind in enumerate(kinds)])
    axis = kinds.index("FREQ") + 1
    header.update({f"CRPIX{axis}": 1.0, f"CRVAL{axis}": 1e9, f"CDELT{axis}": 1e6})
    header.update({"CDELT1": -1e-3, "CDELT2": 1e-3})
    path = tmp_path / "cube.fits"
    hdus = [
        fits.PrimaryHDU(values, header),
        fits.ImageHDU(values + 1, name="ERR"),
        fits.ImageHDU(np.ones((8, 9), np.int16), name="OTHER"),
    ]
    fits.HDUList(hdus).writeto(path)
    m = read_fits(path, region="2:5,1:8", channels="2:4")
    cut = [slice(None)] * 4
    cut[-axis], cut[-2], cut[-1] = slice(2, 4), slice(1, 8), slice(2, 5)
    assert np.array_equal(m.data.numpy(), values[tuple(cut)])
    assert np.array_equal(np.asarray(m.noise), values[tuple(cut)] + 1)
    assert m.header is not None
    assert m.header[f"CRPIX{axis}"] == -1.0
    assert m.section is not None
    assert np.array_equal(read_fits_array(f"{path}[ERR]", m.section), values[tuple(cut)] + 1)
    assert tuple(read_fits_array(f"{path}[OTHER]", m.section).shape) == (7, 3)
    with pytest.raises(ShapeError, match="channels"):
        read_fits(path, channels="4:9")


def test_a_region_that_the_projection_does_not_show_is_beside_the_image() -> None:
    pytest.importorskip("regions")
    header = fits.Header([card for card in HEADER.cards if card.keyword[:2] not in ("A_", "B_")])
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    with pytest.raises(ShapeError, match="does not touch"):
        find_section((40, 50), header, 'fk5;circle(330,-2,3")', None)
