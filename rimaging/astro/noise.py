"""How the noise of an image correlates, as the doors are told it or find it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from rimaging.datasets.fits_open import split_extension
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.noise_correlation import (
    estimate_noise_correlation,
    found_correlation,
    restored_noise,
    single_pixels,
)
from rimaging.datasets.open import open_array
from rimaging.datasets.sources import Array
from rimaging.errors import OptionError
from rimaging.operators.correlated import NoiseCorrelation

AUTO = "auto"
Correlation = str | Path | Array | NoiseCorrelation
"""`AUTO`, a file or an array of lags ``(y, x)``, or what was made of them."""


def with_correlation(
    measurement: Measurement, psf: Tensor, given: Correlation | None, clean_beam: bool = False
) -> tuple[Measurement, NoiseCorrelation | None]:
    """How the noise correlates, and the measurement with the noise that was estimated with it.

    Where nothing was given, noise that nobody stated is looked at; what stated noise leaves open is
    noted. ``psf (y, x)``: an example; ``clean_beam`` says that it is the beam of an image made from
    visibilities, as which the noise then correlates. Raises as `as_correlation`.
    """
    data, mask = measurement.data, measurement.mask
    stated = measurement.noise is not None
    if given is None:
        found = found_correlation(data, mask, psf)
        if found is None and clean_beam and not stated:
            return _of_clean_beam(measurement, psf)
        if found is None:
            return measurement, None
        correlation = found
        if stated:
            note = (
                f"the noise as white, though neighbours correlate by {correlation.neighbours:+.2f} "
                "in quiet parts (drizzled, resampled?): noise_correlation='auto' allows for it"
            )
            return _noted(measurement, note), None
    elif isinstance(given, str) and given == AUTO:
        correlation = estimate_noise_correlation(data, mask)
    else:
        return measurement, as_correlation(given)
    density = correlation.density(psf)
    note = (
        f"noise that correlates by {correlation.neighbours:+.2f} between neighbours, from quiet "
        f"parts: its power is {density:.2f} times that of single pixels where the PSF looks"
    )
    if not stated:
        sigma = single_pixels(data, mask, correlation)
        values = ", ".join(f"{value:.4g}" for value in sigma.flatten().tolist()[:8])
        note = f"noise {values} of single pixels, {note.removeprefix('noise ')}"
        measurement = replace(measurement, noise=sigma)
    return _noted(measurement, note), correlation


def _of_clean_beam(
    measurement: Measurement, beam: Tensor
) -> tuple[Measurement, NoiseCorrelation | None]:
    """The noise of an image that a clean beam has restored."""
    assert measurement.psf is not None
    sigma = restored_noise(measurement.data, measurement.mask, measurement.psf)
    if sigma is None:
        return measurement, None
    correlation = NoiseCorrelation.of(beam)
    values = ", ".join(f"{value:.4g}" for value in sigma.flatten().tolist()[:8])
    note = (
        f"noise {values} of quiet parts, that correlates as the beam does: its power is "
        f"{correlation.density(beam):.2f} times that of single pixels where the beam looks"
    )
    weigh = sigma * _beside_first(measurement.psf).to(sigma)
    return _noted(replace(measurement, noise=weigh), note), correlation


def _beside_first(beams: Tensor) -> Tensor:
    """How much noisier each of ``(..., y, x)`` sees its noise than the first does, ``(..., 1, 1)``.

    One correlation and its density stand for all bands: what the density of another lacks goes into
    its sigma.
    """
    each = [NoiseCorrelation.of(p).density(p) for p in beams.reshape(-1, *beams.shape[-2:])]
    return torch.tensor(each).div(each[0]).sqrt().reshape(*beams.shape[:-2], 1, 1)


def as_correlation(given: Correlation) -> NoiseCorrelation:
    """The correlation of a file or an array; raises OptionError for text that is no file."""
    if isinstance(given, NoiseCorrelation):
        return given
    if not isinstance(given, str | Path):
        return NoiseCorrelation(torch.as_tensor(given))
    if not split_extension(given)[0].is_file():
        raise OptionError(
            f"the correlation of the noise {str(given)!r} is no file: give 'auto', or an image of "
            "the correlation by distance, with no lag in the middle"
        )
    return NoiseCorrelation(open_array(given, "noise"))


def example(psf: Tensor) -> Tensor:
    """One PSF ``(y, x)``, of the first band: the density of the noise hardly depends on which."""
    return psf.reshape(-1, *psf.shape[-2:])[0]


def _noted(measurement: Measurement, note: str) -> Measurement:
    assumed = [*measurement.provenance.get("assumed", []), note]
    return replace(measurement, provenance={**measurement.provenance, "assumed": assumed})
