"""Beams as PSFs: the right axes on the sky, one for each channel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rimaging.datasets.beam_psf import beam_psf, gaussian_beam
from rimaging.datasets.fits_beams import Beams
from rimaging.datasets.psf import psf_shape
from rimaging.datasets.target_beam import target_beam
from rimaging.errors import DataError


def header(**cards: float | str) -> object:
    from astropy.io import fits

    given = {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CDELT1": -1 / 3600, "CDELT2": 1 / 3600}
    return fits.Header({**given, **cards})


def test_the_angle_goes_from_north_through_east() -> None:
    beam = gaussian_beam(6.0, 3.0, 30.0, 12)
    rows, columns = torch.meshgrid(torch.arange(-12.0, 13), torch.arange(-12.0, 13), indexing="ij")
    # East is to the left: of a beam that leans from north to east, y and -x rise together.
    assert float((beam * rows * columns).sum()) < 0
    assert float((beam * rows**2).sum()) > float((beam * columns**2).sum())
    flipped = gaussian_beam(6.0, 3.0, 30.0, 12, matrix=((1.0, 0.0), (0.0, 1.0)))
    assert torch.allclose(flipped, beam.flip(-1))


def test_it_agrees_with_radio_beam() -> None:
    radio_beam = pytest.importorskip("radio_beam")
    from astropy import units

    theirs = radio_beam.Beam(6 * units.arcsec, 4 * units.arcsec, 40 * units.deg)
    kernel = theirs.as_kernel(1 * units.arcsec, x_size=25, y_size=25).array
    ours = gaussian_beam(6.0, 4.0, 40.0, 12)
    assert np.allclose(ours, kernel / kernel.sum(), atol=2e-4 * kernel.max())


def test_a_beam_and_beams_of_channels() -> None:
    one = Beams(*(np.full((1, 1), v) for v in (5 / 3600, 4 / 3600, 0.0)), table=False)
    psf = beam_psf(one, header(), (7, 50, 50))
    fwhm, ellipticity = psf_shape(psf)
    assert fwhm == pytest.approx(np.sqrt(20), rel=0.01) and ellipticity == pytest.approx(0.2, 0.05)
    widths = np.array([[5.0, np.nan, 3.0]]) / 3600
    many = Beams(widths, widths, np.zeros((1, 3)), table=True)
    assert beam_psf(many, header(), (3, 50, 50)).shape[:1] == (3,)
    psfs = beam_psf(many, header(), (1, 3, 50, 50))
    assert psfs.shape[:2] == (1, 3)
    assert psf_shape(psfs[0, 2])[0] == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize("polarisations", [1, 2, 3])
@pytest.mark.parametrize("each", [True, False])
def test_the_order_of_spectrum_and_stokes_is_that_of_the_header(
    polarisations: int, each: bool
) -> None:
    shape = (polarisations if each else 1, 3)
    widths = np.random.default_rng(0).uniform(3, 6, shape) / 3600
    beams = Beams(widths, widths, np.zeros(shape), table=True)
    lead = (polarisations, 3)
    usual = header(CTYPE3="FREQ", CTYPE4="STOKES")
    casa = header(CTYPE3="STOKES", CTYPE4="FREQ")
    psf = beam_psf(beams, usual, (*lead, 50, 50)).expand(*lead, -1, -1)  # type: ignore[arg-type]
    turned = beam_psf(beams, casa, (*lead[::-1], 50, 50))  # type: ignore[arg-type]
    assert torch.equal(turned.expand(*lead[::-1], -1, -1).transpose(0, 1), psf)
    factors = [
        target_beam(cards, (*lengths, 50, 50), "Jy/beam", beams, None, 2.0)  # type: ignore[arg-type]
        for cards, lengths in ((usual, lead), (casa, lead[::-1]))
    ]
    one, other = (found.factor[..., 0, 0] for found in factors if found is not None)
    assert np.array_equal(np.broadcast_to(other, lead[::-1]).T, np.broadcast_to(one, lead))
    assert one[0] == pytest.approx((2 / 3600 / widths[0]) ** 2)


def test_what_cannot_be_drawn_is_refused() -> None:
    one = Beams(*(np.full((1, 1), v) for v in (5 / 3600, 4 / 3600, 0.0)), table=False)
    from astropy.io import fits

    for cards, words in (
        (fits.Header(), "pixel size"),
        (header(CDELT2=2 / 3600), "no squares"),
    ):
        with pytest.raises(DataError, match=words):
            beam_psf(one, cards, (50, 50))  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(50, 50), (3, 50, 50)])
def test_without_a_beam_the_area_of_the_psf_counts(shape: tuple[int, ...]) -> None:
    psf = gaussian_beam(5.0, 4.0, 30.0, 12).numpy()
    for given in (psf, psf[None]):
        found = target_beam(header(), shape, "Jy/beam", None, given, 2.0)  # type: ignore[arg-type]
        assert found is not None
        factor = np.broadcast_to(found.factor, (*shape[:-2], 1, 1))
        assert factor == pytest.approx(4 / 20, rel=2e-3)


def test_a_beam_wider_than_the_image_is_refused_before_it_is_drawn() -> None:
    wide = Beams(*(np.full((1, 1), v) for v in (5.0, 4.0, 0.0)), table=False)  # arcseconds
    with pytest.raises(DataError, match="count degrees"):
        beam_psf(wide, header(), (50, 50))  # type: ignore[arg-type]
    thin = Beams(*(np.full((1, 1), v) for v in (0.3 / 3600, 0.2 / 3600, 0.0)), table=False)
    with pytest.raises(DataError, match=r"0\.3 pixels"):
        beam_psf(thin, header(), (50, 50))  # type: ignore[arg-type]


TURN = np.radians(25.0)
STEP = 1 / 3600
FRAMES = {
    "CDELT": {},
    "CD": {"CD1_1": -STEP, "CD2_2": STEP, "CD1_2": 0.0, "CD2_1": 0.0},
    "CD beside CDELT 1": {"CDELT1": 1.0, "CDELT2": 1.0, "CD1_1": -STEP, "CD2_2": STEP},
    "north down": {"CDELT2": -STEP},
    "east to the right": {"CDELT1": STEP},
    "CROTA2": {"CROTA2": 25.0},
    "PC": {
        "PC1_1": np.cos(TURN),
        "PC1_2": np.sin(TURN),
        "PC2_1": -np.sin(TURN),
        "PC2_2": np.cos(TURN),
    },
}


@pytest.mark.parametrize("frame", FRAMES)
def test_the_beam_lies_on_the_sky_as_stated(frame: str) -> None:
    from astropy.coordinates import SkyCoord
    from astropy.wcs import WCS

    cards = {"CRVAL1": 10.0, "CRVAL2": -30.0, "CRPIX1": 14.0, "CRPIX2": 14.0, **FRAMES[frame]}
    given = header(**cards)
    if frame == "CD":
        del given["CDELT1"], given["CDELT2"]  # type: ignore[attr-defined]
    one = Beams(*(np.full((1, 1), v) for v in (8 * STEP, 3 * STEP, 40.0)), table=False)
    psf = beam_psf(one, given, (27, 27)).numpy()  # type: ignore[arg-type]
    # where its second moments point, carried to the sky by the WCS
    half = psf.shape[0] // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    moments = np.array([[(psf * a * b).sum() for b in (x, y)] for a in (x, y)])
    dx, dy = np.linalg.eigh(moments)[1][:, 1]
    sky = WCS(given)
    places = sky.wcs_pix2world([[13.0, 13.0], [13.0 + dx, 13.0 + dy]], 0)
    centre, along = (SkyCoord(*place, unit="deg") for place in places)
    assert centre.position_angle(along).deg % 180 == pytest.approx(40, abs=0.5)
