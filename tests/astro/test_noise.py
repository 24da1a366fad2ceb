"""Noise that correlates, through the door."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rimaging import astro
from rimaging.astro.noise import as_correlation
from rimaging.datasets.beam_psf import gaussian_beam
from rimaging.errors import OptionError
from rimaging.operators.correlated import NoiseCorrelation
from rimaging.tiles.planes import Seen, channels_of
from rimaging.validate.run import validate

STENCIL = torch.tensor([0.25, 1.0, 0.25])
DRIZZLED = NoiseCorrelation.of(STENCIL[:, None] * STENCIL[None, :])
SKY = DRIZZLED.coloured(torch.randn(128, 132, generator=torch.Generator().manual_seed(0)))


def said(found: astro.Reconstruction) -> str:
    return "; ".join(found.provenance["assumed"])


def test_a_correlation_that_nobody_stated_is_found(real_weights: Path) -> None:
    found = astro.deconvolve(SKY, 3.0, weights=real_weights)
    assert "correlates by +0.4" in said(found)
    assert found.provenance["noise_density"] == pytest.approx(3, abs=0.6)
    sigma = torch.as_tensor(found.measurement.noise) if found.measurement else torch.zeros(1)
    assert float(sigma.mean()) == pytest.approx(1, rel=0.12)
    white = torch.randn(128, 132, generator=torch.Generator().manual_seed(1))
    plain = astro.deconvolve(white, 3.0, weights=real_weights)
    assert "correlates" not in said(plain) and "noise_density" not in plain.provenance


def test_stated_noise_is_white_with_a_note_or_as_it_is_said_to_be(real_weights: Path) -> None:
    white = astro.deconvolve(SKY, 3.0, 1.0, weights=real_weights)
    assert "noise_correlation='auto'" in said(white)
    ours = astro.deconvolve(
        SKY, 3.0, 1.0, weights=real_weights, noise_correlation=DRIZZLED.lags.numpy()
    )
    assert ours.provenance["noise_density"] > 2.5
    density = float(ours.provenance["noise_density"])
    same = astro.deconvolve(SKY, 3.0, density**0.5, weights=real_weights)
    assert np.allclose(ours.image, same.image, atol=1e-5)
    assert abs(ours.diagnostics.correlation[0]) < abs(white.diagnostics.correlation[0])


def test_a_correlation_is_read_from_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "lags.npy", 7 * DRIZZLED.lags.numpy())
    found = as_correlation(tmp_path / "lags.npy")
    assert torch.allclose(found.lags, DRIZZLED.lags)
    with pytest.raises(OptionError, match="is no file: give 'auto'"):
        as_correlation("drizzle")


def test_a_detector_that_counts_has_no_correlation(real_weights: Path) -> None:
    with pytest.raises(OptionError, match="noise_correlation with gain"):
        astro.deconvolve(SKY + 100, 3.0, gain=2.0, weights=real_weights, noise_correlation="auto")


def test_validation_draws_noise_that_correlates(real_weights: Path) -> None:
    found = validate(
        SKY, 3.0, 1.0, weights=real_weights, noise_correlation=DRIZZLED, quick=True, error_map=None
    )
    assert found.trial.field.correlation is not None
    drawn = found.trial.field.standard_noise()
    assert float((drawn[1:] * drawn[:-1]).mean()) == pytest.approx(DRIZZLED.at(1), abs=0.05)


def test_tiles_find_the_density_that_the_door_finds(real_weights: Path) -> None:
    psf = astro.as_psf(3.0).reshape(-1, *astro.as_psf(3.0).shape[-2:])[0]
    channels = channels_of(Seen(SKY[None]), None, None, relative=False, detector=None, psf=psf)
    found = astro.deconvolve(SKY, 3.0, weights=real_weights)
    assert found.measurement is not None
    sigma = float(torch.as_tensor(found.measurement.noise).mean())
    density = float(found.provenance["noise_density"])
    assert float(channels.factor) == pytest.approx(sigma * density**0.5, rel=1e-3)


def test_the_noise_of_an_image_with_a_clean_beam_correlates_as_the_beam(
    real_weights: Path, tmp_path: Path
) -> None:
    from astropy.io import fits

    beam = gaussian_beam(5.0, 4.0, 40.0, 8)
    draw = torch.Generator().manual_seed(3)
    image = 1e-3 * NoiseCorrelation.of(beam).coloured(torch.randn(144, 144, generator=draw))
    header = fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "BUNIT": "Jy/beam"})
    header.update({"CDELT1": -1e-3, "CDELT2": 1e-3, "BMAJ": 5e-3, "BMIN": 4e-3, "BPA": 40.0})
    fits.writeto(tmp_path / "a.fits", image.numpy(), header)
    found = astro.deconvolve(tmp_path / "a.fits", weights=real_weights)
    assert "correlates as the beam" in said(found) and found.chi2 < 1.2
    assert found.measurement is not None
    assert float(torch.as_tensor(found.measurement.noise)) == pytest.approx(1e-3, rel=0.15)
    assert np.std(found.image) < 1e-3  # noise is no sky
    white = astro.deconvolve(tmp_path / "a.fits", noise=1e-3, weights=real_weights)
    assert "noise_density" not in white.provenance


def test_a_channel_of_a_cube_is_held_as_it_is_alone(real_weights: Path, tmp_path: Path) -> None:
    from astropy.io import fits

    from rimaging.datasets.fits_beams import Beams, beams_table

    widths = (3.5, 8.0)
    draw = torch.Generator().manual_seed(5)
    planes = [
        NoiseCorrelation.of(gaussian_beam(w, w, 0.0, 13)).coloured(
            torch.randn(144, 144, generator=draw)
        )
        for w in widths
    ]
    header = fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CTYPE3": "FREQ"})
    header.update({"CDELT1": -1e-3, "CDELT2": 1e-3, "BUNIT": "Jy/beam", "CASAMBM": True})
    size = 1e-3 * np.array([widths])
    table = beams_table(Beams(size, size, 0 * size, table=True))
    cube = fits.PrimaryHDU(torch.stack(planes).numpy(), header)
    fits.HDUList([cube, table]).writeto(tmp_path / "a.fits")

    def weighed(name: str) -> list[float]:
        """Sigma of each channel as white noise, where its beam looks."""
        result = astro.deconvolve(tmp_path / name, weights=real_weights)
        assert result.measurement is not None
        sigma = torch.as_tensor(result.measurement.noise).flatten()
        found: list[float] = (sigma * result.provenance["noise_density"] ** 0.5).tolist()
        return found

    for plane, width, seen in zip(planes, widths, weighed("a.fits"), strict=True):
        header.update({"BMAJ": 1e-3 * width, "BMIN": 1e-3 * width, "CASAMBM": False})
        fits.writeto(tmp_path / f"{width}.fits", plane.numpy(), header)
        assert seen == pytest.approx(weighed(f"{width}.fits")[0], rel=1e-3)


def test_validation_takes_the_noise_of_a_restored_image_as_the_door_does(
    real_weights: Path, tmp_path: Path
) -> None:
    from astropy.io import fits

    beam = gaussian_beam(4.0, 4.0, 0.0, 7)
    draw = torch.Generator().manual_seed(4)
    image = 1e-3 * NoiseCorrelation.of(beam).coloured(torch.randn(128, 128, generator=draw))
    header = fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "BUNIT": "Jy/beam"})
    header.update({"CDELT1": -1e-3, "CDELT2": 1e-3, "BMAJ": 4e-3, "BMIN": 4e-3, "BPA": 0.0})
    fits.writeto(tmp_path / "a.fits", image.numpy(), header)
    found = validate(tmp_path / "a.fits", quick=True, error_map=None, weights=real_weights)
    assert "correlates as the beam" in "; ".join(found.facts["assumed"])
    assert float(found.facts["sigma"]) == pytest.approx(1e-3, rel=0.2)
