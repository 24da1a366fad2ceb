"""The door of radio interferometry: flux, place, units, files."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import rimaging
from rimaging import astro
from rimaging.astro.radio_grid import grid_of
from rimaging.datasets.visibilities import VisibilityData
from rimaging.errors import DataError, OptionError
from rimaging.operators.visibilities import Visibilities

ARCSECOND = math.pi / 180 / 3600
SIDE = 40
G = torch.Generator().manual_seed(0)
U, V = 4e4 * torch.randn(2, 300, generator=G, dtype=torch.float64).clamp(-2.5, 2.5)
PIXEL = 0.3
OPERATOR = Visibilities(U, V, (SIDE, SIDE), PIXEL * ARCSECOND, torch.float64)
SIGMA = 0.01


def observed(sky: Tensor, noise: float = SIGMA) -> VisibilityData:
    n = torch.randn(2, 300, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sigma = torch.full((300,), noise, dtype=torch.float64)
    return VisibilityData(U, V, OPERATOR(sky) + noise * n, sigma, 1e9, "sim", position=(10.0, 20.0))


def point(y: int, x: int, flux: float = 2.0) -> Tensor:
    sky = torch.zeros(SIDE, SIDE, dtype=torch.float64)
    sky[y, x] = flux
    return sky


def imaged(sky: Tensor, **options: object) -> astro.RadioImage:
    return astro.image(observed(sky), size=SIDE, pixel=PIXEL, **options)  # type: ignore[arg-type]


def tensor(array: object) -> Tensor:
    return torch.as_tensor(array).double()


@pytest.mark.parametrize("method", ["dirty", "clean", "mem", "tv", "rim"])
def test_a_point_has_its_flux_per_beam_and_per_pixel(method: str, real_weights: Path) -> None:
    result = imaged(point(17, 23), method=method, weights=real_weights)
    shown, model = tensor(result.image), tensor(result.model)
    assert float(shown[17, 23]) == pytest.approx(2.0, abs=0.1)
    assert int(shown.argmax()) == 17 * SIDE + 23
    if method == "dirty":
        assert not bool(model.any()) and torch.equal(shown, tensor(result.residual_image))
    elif method in ("clean", "mem"):
        assert float(model[14:21, 20:27].sum()) == pytest.approx(2.0, rel=0.05)


def test_clean_recovers_a_point_to_the_noise() -> None:
    result = imaged(point(17, 23), method="clean")
    assert float(tensor(result.model)[17, 23]) == pytest.approx(2.0, abs=5 * SIGMA)
    assert result.chi2 == pytest.approx(1.0, abs=0.2)
    assert result.provenance["noise_jy_per_beam"] == pytest.approx(SIGMA / 300**0.5)


@pytest.mark.parametrize("method", ["dirty", "clean"])
def test_a_shifted_source_shifts_the_image(method: str) -> None:
    sky = point(17, 18) + point(20, 22, 0.8)
    one, other = (
        tensor(
            astro.image(
                observed(s, 1e-9),
                size=SIDE,
                pixel=PIXEL,
                method=method,
                threshold=1e6,  # type: ignore[arg-type]
            ).image
        )
        for s in (sky, sky.roll((3, -4), (0, 1)))
    )
    assert torch.allclose(other[8:35, 6:30], one[5:32, 10:34], atol=5e-3)


def test_the_residual_is_the_data_without_the_model() -> None:
    data = observed(point(17, 23))
    result = astro.image(data, size=SIDE, pixel=PIXEL, method="clean", weighting=("briggs", 0.5))
    left = (data.values - OPERATOR(tensor(result.model))) / SIGMA
    assert torch.allclose(tensor(result.residual), left, atol=1e-3)
    assert result.chi2 == pytest.approx(float(left.square().mean()), rel=1e-4)


def test_the_image_is_the_model_seen_by_the_clean_beam_and_the_residual() -> None:
    from scipy.signal import fftconvolve

    from rimaging.datasets.beam_psf import gaussian_beam

    result = imaged(point(17, 23, 100.0), method="clean")
    assert result.measurement is not None and result.measurement.beams is not None
    lobe, step = result.measurement.beams, PIXEL / 3600
    widths = (float(lobe.major[0, 0]) / step, float(lobe.minor[0, 0]) / step)
    beam = gaussian_beam(*widths, float(lobe.angle[0, 0]), 2 * SIDE).double()
    seen = fftconvolve(tensor(result.model), beam / beam.max(), mode="same")
    left = tensor(result.image) - tensor(result.residual_image) - torch.from_numpy(seen)
    assert float(left.abs().max()) < 1e-6 * 100  # the edge of a stamp would be a square around it


def test_files(tmp_path: Path) -> None:
    from astropy.io import fits
    from astropy.wcs import WCS

    result = imaged(point(17, 23), method="clean")
    result.save(tmp_path / "m.fits")
    with fits.open(tmp_path / "m.fits", checksum=True) as hdus:
        hdus.verify("exception")
        assert [h.name for h in hdus] == ["PRIMARY", "SCI", "MODEL", "RES", "PSFOUT"]
        units = {h.name: h.header.get("BUNIT") for h in hdus[1:]}
        assert units == {"SCI": "Jy/beam", "MODEL": "Jy/pixel", "RES": "Jy/beam", "PSFOUT": None}
        header = hdus["SCI"].header
        assert header.comments["RIMCHI2"] == "of the visibilities"  # RES is in Jy/beam
        assert "BMAJ" in header and "BMAJ" not in hdus["MODEL"].header
        place = WCS(header).pixel_to_world(23, 17)
        # three pixels to the right of the phase centre is west, three down is south
        west = (10.0 - place.ra.deg) * 3600 * math.cos(math.radians(20))
        assert west == pytest.approx(3 * PIXEL, rel=1e-3)
        assert (place.dec.deg - 20.0) * 3600 == pytest.approx(-3 * PIXEL, rel=1e-3)
        # flux: the sum of SCI over the area of the beam is that of the point, where RES is small
        area = math.pi * header["BMAJ"] * header["BMIN"] / (4 * math.log(2)) / header["CDELT2"] ** 2
        total = float((hdus["SCI"].data - hdus["RES"].data).sum() / area)
        assert total == pytest.approx(2.0, rel=0.03)
        assert float(hdus["PSFOUT"].data.max()) == pytest.approx(1.0)
    back = rimaging.open(tmp_path / "m.fits")
    assert back.beams is not None and back.units == "Jy/beam"


def test_defaults_come_from_the_baselines_and_are_said() -> None:
    data = observed(point(17, 23)).chosen(torch.hypot(U, V) > 5e4)
    result = astro.image(data, method="dirty")
    longest = float(torch.hypot(U, V).max())
    assert result.provenance["pixel_arcsec"] == pytest.approx(1 / (8 * longest * ARCSECOND))
    notes = " ".join(result.provenance["assumed"])
    assert "longest baseline" in notes and "shortest baseline" in notes


def test_numpy_arrays_of_any_byte_order_are_taken() -> None:
    data = observed(point(17, 23))
    arrays = (data.u, data.v, data.values, data.sigma)
    given = VisibilityData(*(a.numpy().astype(">f8") for a in arrays))  # type: ignore[arg-type]
    found = astro.image(given, size=SIDE, pixel=PIXEL, method="dirty")
    assert torch.equal(tensor(found.image), tensor(imaged(point(17, 23), method="dirty").image))


def test_a_field_too_wide_for_a_plane_is_said() -> None:
    data = replace(observed(point(17, 23)), u=U / 100, v=V / 100)
    longest = float(torch.hypot(U, V).max()) / 100
    for side, wide in ((40, False), (400, True)):
        _, cell, notes = grid_of(data, side, 100 * PIXEL)
        edge = math.pi * longest * (side * cell / 2) ** 2
        assert (edge > 1) == wide == ("no w-term" in " ".join(notes))


def test_what_cannot_be_is_refused() -> None:
    data = observed(point(17, 23))
    with pytest.raises(OptionError, match="VisibilityData"):
        astro.image([data])  # type: ignore[arg-type]
    for words, options in {
        "mem": {"method": "cleann"},
        "briggs": {"weighting": "robust"},
        "uas": {"pixel": "1 parsec"},
        "size": {"size": 2},
        "flux": {"flux": -1.0},
        "iterations": {"method": "dirty", "iterations": 3},
        "entropy": {"entropy": math.nan},
        "variation": {"variation": -1.0},
        "threshold": {"method": "clean", "threshold": -1.0},
        "loop_gain": {"method": "clean", "loop_gain": 2.0},
        "systematic": {"systematic": math.nan},
        "gain_spread": {"gain_spread": -0.2},
        "prior": {"method": "clean", "flux": 1.0},
        "robustness": {"weighting": ("briggs", math.nan)},
        "briggs alone": {"weighting": ("uniform", 0.5)},
        "GiB": {"size": 1_000_000, "pixel": 1e-5},
    }.items():
        with pytest.raises(OptionError, match=words):
            astro.image(data, **{"size": SIDE, "pixel": PIXEL, **options})  # type: ignore[arg-type]
    with pytest.raises(DataError, match="antennas"):
        astro.image(data, size=SIDE, pixel=PIXEL, calibrated=False)
    with pytest.raises(DataError, match=r"too large.*arcsec"):
        astro.image(data, size=SIDE, pixel="1deg")
    with pytest.raises(DataError, match="narrower than the beam"):
        astro.image(data, size=SIDE, pixel="2mas")
    with pytest.raises(DataError, match="longer"):
        astro.image(data, size=SIDE, pixel=PIXEL, min_baseline=1e9)


def test_the_ring_of_m87(data_root: Path) -> None:
    """Uncalibrated data of one day: a ring of 42 microarcseconds, dark inside."""
    scan = data_root / "astro/eht_m87/SR1_M87_2017_101_lo_hops_netcal_StokesI.uvfits.gz"
    result = astro.image(
        scan,
        size=28,
        pixel="4uas",
        iterations=80,
        calibrated=False,
        min_baseline=1e8,
        systematic=0.02,
    )
    assert isinstance(result.image, np.ndarray)
    assert result.provenance["closure_phase_chi2"] < 1.5 and result.chi2 < 1.5
    model = tensor(result.model)
    y, x = torch.meshgrid(*(torch.arange(28).double(),) * 2, indexing="ij")
    bright = model > 0.3 * model.max()
    middle = [float((c * bright).sum() / bright.sum()) for c in (y, x)]
    radius = 4 * torch.hypot(y - middle[0], x - middle[1])
    profile = [float(model[(radius >= r) & (radius < r + 5)].mean()) for r in range(0, 45, 5)]
    at = 5 * int(np.argmax(profile)) + 2.5
    assert 15 < at < 28
    assert profile[0] < 0.7 * max(profile)
