"""Images from the visibilities of a radio interferometer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from rimaging.astro.radio_grid import check_field, grid_of, reach_of
from rimaging.astro.radio_methods import (
    Calibration,
    MethodName,
    Settings,
    calibrated_by_closure,
    method_of,
)
from rimaging.datasets.beam_psf import gaussian_beam
from rimaging.datasets.fits_beams import Beams
from rimaging.datasets.fits_planes import Plane
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.sources import Array
from rimaging.datasets.visibilities import VisibilityData, read_visibilities
from rimaging.datasets.visibility_header import visibility_header
from rimaging.errors import DataError, OptionError
from rimaging.method import Weights, choose_device
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.visibilities import (
    Visibilities,
    Weighting,
    clean_beam,
    dirty_beam,
    dirty_image,
    restored,
    weights_of,
)
from rimaging.reconstruct import run
from rimaging.reconstruction import Reconstruction
from rimaging.reports.arrays import to_numpy

KEEP = 2.5
"""Radius in FWHM at which the clean beam is cut: 3 in 10^8 of its peak, below any dynamic range."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RadioImage(Reconstruction):
    """A `Reconstruction` of which ``image`` is the restored one, in Jy/beam; saved as SCI.

    ``model`` (MODEL) is the sky itself in Jy/pixel, ``residual_image`` (RES) what the model leaves
    of the dirty image in Jy/beam, ``beam`` (PSFOUT) the dirty beam. ``residual`` is that of the
    visibilities, in units of their noise.
    """

    @property
    def model(self) -> Array:
        """The sky in Jy/pixel; of the dirty image, zero."""
        return self._plane("MODEL")

    @property
    def residual_image(self) -> Array:
        """The dirty image of ``V - A model``, in Jy per dirty beam."""
        return self._plane("RES")

    @property
    def beam(self) -> Array:
        """The dirty beam, peak 1."""
        return self._plane("PSFOUT")

    def _plane(self, name: str) -> Array:
        found: Array = next(plane.array for plane in self.planes if plane.name == name)
        return found


def image(
    source: VisibilityData | str | Path,
    *,
    size: int | None = None,
    pixel: str | float | None = None,
    weighting: Weighting | tuple[str, float] = "natural",
    method: MethodName = "mem",
    calibrated: bool = True,
    gain_spread: float | None = 0.2,
    min_baseline: float = 0.0,
    systematic: float = 0.0,
    flux: float | None = None,
    threshold: float = 3.0,
    loop_gain: float = 0.1,
    iterations: int | None = None,
    entropy: float = 50.0,
    variation: float = 1.0,
    weights: Weights = "astro",
    device: str | torch.device | None = None,
) -> RadioImage:
    """Image visibilities: ``V = A x + n``, ``x`` in Jy/pixel, restored with the clean beam.

    Args:
        source: a path (uvfits, or a table of the Event Horizon Telescope), or `VisibilityData`.
        size: pixels of a side; by default the field of the shortest baseline, 32 to 512.
        pixel: side of a pixel, ``"1uas"`` or in arcseconds; by default 1/8 of the wavelength over
            the longest baseline.
        weighting: ``"natural"``, ``"uniform"``, ``"briggs"`` or ``("briggs", robust)``: of the
            dirty image, CLEAN, and the beam. The other methods weigh by the noise alone.
        method: ``"mem"``: maximum entropy and total variation, positive; ``"clean"``: Hogbom's;
            ``"tv"``: total variation, of any sign; ``"rim"``: the weights as the prior of
            plug-and-play; ``"dirty"``.
        calibrated: False where the gains of the stations are unknown: scans are averaged, an image
            is made from closure phases and amplitudes, the gains are found with it, and the method
            gets calibrated visibilities.
        gain_spread: what is known of the amplitudes of the gains then, as the standard deviation of
            their logarithm; None: nothing, so that ``flux`` alone says how bright the sky is.
        min_baseline: in wavelengths; shorter ones, which see more than the field, are left out.
        systematic: noise to add in quadrature, relative to the amplitude.
        flux: of the field in Jy, for the prior of ``"mem"``; by default that of the shortest
            baselines.
        threshold: of CLEAN, in units of the noise. loop_gain: of CLEAN.
        iterations: of CLEAN (10,000), ``"mem"`` (200) or ``"tv"`` (300).
        entropy, variation: weights of the priors of ``"mem"``; ``variation`` counts beams.
        weights: of a RIM, for ``"rim"``.
        device: of the RIM; the others run on the CPU.

    Returns:
        A `RadioImage`; NumPy of a path, torch of `VisibilityData`.

    Raises:
        OptionError: an unknown method, weighting or unit, or options of another method.
        DataError: pixels too large for the baselines, closures that are not there.
        FormatError: files that cannot be read.

    Source: Thompson, Moran & Swenson, Interferometry and Synthesis in Radio Astronomy, 3rd ed.
    (2017), chapters 10 and 11.
    """
    scheme, robust = _weighting(weighting)
    if gain_spread is not None and not 0 < gain_spread < math.inf:
        raise OptionError(
            f"gain_spread is {gain_spread}: give one above 0; None (--gain-spread 0) where nothing "
            "is known"
        )
    if flux is not None and calibrated and method != "mem":
        raise OptionError(f"flux is that of the prior of mem, not of {method}: leave it out")
    settings = Settings(
        method=method,
        threshold=threshold,
        loop_gain=loop_gain,
        iterations=iterations,
        entropy=entropy,
        variation=variation,
        flux=flux,
        weights=weights,
    )
    data = read_visibilities(source) if isinstance(source, str | Path) else source
    if not isinstance(data, VisibilityData):
        raise OptionError(
            f"{type(source).__name__} is no observation: give a path or VisibilityData"
        )
    reach = None if calibrated else reach_of(data, min_baseline, size, pixel)
    data, assumed = _prepared(data, min_baseline, systematic, reach)
    side, cell, notes = grid_of(data, size, pixel)
    assumed += notes
    shape, field = (side, side), side * cell
    operator = Visibilities(data.u, data.v, shape, cell, torch.float64)
    weight = weights_of(data.u, data.v, data.sigma, field, scheme, robust)
    full = Visibilities(data.u, data.v, (2 * side - 1, 2 * side - 1), cell, torch.float64)
    whole_beam = dirty_beam(full, weight)
    lobe = clean_beam(whole_beam)
    check_field(side, cell, lobe[0])
    calibration = Calibration(data, {})
    if not calibrated:
        calibration = calibrated_by_closure(operator, data, settings, lobe, gain_spread)
        data = calibration.data
        weight = weights_of(data.u, data.v, data.sigma, field, scheme, robust)
        whole_beam = dirty_beam(full, weight)
        lobe = clean_beam(whole_beam)
        assumed.append("gains of the stations found from closure quantities, then taken out")
    dirty = dirty_image(operator, data.values, weight)
    noise = float((weight * data.sigma).square().sum().sqrt() / weight.sum())
    place = choose_device(device)
    solve = method_of(settings, data, dirty, whole_beam, noise, lobe, calibration.start, place)
    kind = torch.float32 if method == "rim" else torch.float64
    forward = Visibilities(data.u, data.v, shape, cell, kind)
    likelihood = Gaussian(forward, data.values.to(kind), data.sigma.to(kind))
    found = run(likelihood, solve, device=place)
    model = torch.as_tensor(found.image).double().cpu()
    residual = dirty_image(operator, data.values - operator(model), weight)
    radius = min(math.ceil(KEEP * lobe[0]), side)
    sharp = gaussian_beam(*lobe, radius).double()
    shown = restored(model, residual, sharp / sharp.max()) if method != "dirty" else dirty
    header = visibility_header(data, shape, cell, lobe)
    measurement = Measurement(
        kind="sky",
        data=dirty.float(),
        noise=noise,
        units="Jy/beam",
        header=header,
        beams=_beams(lobe, cell),
        provenance={"file": data.name, "visibilities": len(data.u), "assumed": assumed},
    )
    said: dict[str, Any] = {
        "weighting": scheme if scheme != "briggs" else f"briggs {robust:g}",
        "pixel_arcsec": 3600 * math.degrees(cell),
        "beam_pixels": [round(value, 4) for value in lobe],
        "noise_jy_per_beam": noise,
        "flux_jy": float(model.sum()),
        **calibration.said,
    }
    result = RadioImage(
        image=shown.float(),
        residual=found.residual.float() if isinstance(found.residual, Tensor) else found.residual,
        chi2=found.chi2,
        diagnostics=found.diagnostics,
        provenance={
            **found.provenance,
            **said,
            "assumed": assumed,
            "input": {"file": data.name, "visibilities": len(data.u)},
        },
        measurement=measurement,
        planes=_planes(model, residual, whole_beam, method == "dirty"),
    )
    return result if isinstance(source, VisibilityData) else _as_numpy(result)


def _weighting(weighting: Weighting | tuple[str, float]) -> tuple[Weighting, float]:
    """The scheme and its robustness."""
    scheme, robust = weighting if isinstance(weighting, tuple) else (weighting, 0.0)
    if scheme not in get_args(Weighting):
        raise OptionError(
            f"weighting {scheme!r}: choose {', '.join(get_args(Weighting))} or ('briggs', 0.5)"
        )
    if not math.isfinite(robust) or (isinstance(weighting, tuple) and scheme != "briggs"):
        raise OptionError(f"weighting {scheme} of robustness {robust}: briggs alone takes a number")
    return scheme, float(robust)  # type: ignore[return-value] # checked above


def _prepared(
    data: VisibilityData, min_baseline: float, systematic: float, reach: float | None
) -> tuple[VisibilityData, list[str]]:
    """Averaged, without the shortest baselines, with systematic noise; and what was done."""
    if not (0 <= min_baseline < math.inf and 0 <= systematic < math.inf):
        raise OptionError(f"{min_baseline=}, {systematic=}: give values from 0 on")
    notes = [] if data.position else ["phase centre unknown: the WCS counts from 0, 0"]
    if reach is not None:
        data = data.scan_averages(reach=reach)
        notes.append("visibilities averaged over each scan")
    long = torch.hypot(data.u, data.v) >= min_baseline
    if not bool(long.any()):
        raise DataError(f"no baseline is longer than {min_baseline:g} wavelengths: lower it")
    if not bool(long.all()):
        count = int(len(long) - long.sum())
        notes.append(f"{count} visibilities below {min_baseline:g} wavelengths left out")
        data = data.chosen(long)
    if systematic:
        extra = systematic * data.values.norm(dim=0)
        data = replace(data, sigma=torch.hypot(data.sigma, extra.to(data.sigma)))
    return data, notes


def _planes(model: Tensor, residual: Tensor, beam: Tensor, dirty: bool) -> tuple[Plane, ...]:
    """What goes into the file beside the restored image."""
    return (
        Plane(
            name="MODEL",
            array=model.float(),
            unit="Jy/pixel",
            said="zero: SCI is the dirty image" if dirty else "the sky; SCI is beam * MODEL + RES",
        ),
        Plane(
            name="RES",
            array=residual.float(),
            unit="Jy/beam",
            said="the dirty image of the visibilities without those of MODEL",
        ),
        Plane(
            name="PSFOUT",
            array=beam.float(),
            said="the dirty beam, peak 1; the beam of SCI is BMAJ, BMIN, BPA",
            sky=False,
        ),
    )


def _beams(lobe: tuple[float, float, float], cell: float) -> Beams:
    import numpy as np

    step = math.degrees(cell)
    major, minor, angle = (
        np.full((1, 1), value) for value in (lobe[0] * step, lobe[1] * step, lobe[2])
    )
    return Beams(major, minor, angle, table=False)


def _as_numpy(result: RadioImage) -> RadioImage:
    planes = tuple(replace(plane, array=to_numpy(plane.array)) for plane in result.planes)
    return replace(
        result, image=to_numpy(result.image), residual=to_numpy(result.residual), planes=planes
    )
