"""Deconvolution of telescope images to a declared target PSF."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from rimaging.astro.empty import with_empty, without_empty
from rimaging.astro.methods import Boundary, MethodName, check_options, classical
from rimaging.astro.noise import Correlation, example, with_correlation
from rimaging.astro.psf import (
    TARGET,
    Psf,
    check_psf,
    psf_source,
    takes_beam,
    with_doubts,
    with_psf,
)
from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.background import sky_level
from rimaging.datasets.detector import Detector, without_saturated
from rimaging.datasets.exposure import doubt_mask, with_exposure
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.sources import Array, Source, as_measurement
from rimaging.datasets.varying_psf import VaryingPsf
from rimaging.errors import DataError, OptionError
from rimaging.method import Method, Weights, choose_device, one_number, rim_method
from rimaging.mosaic.lazy import is_dask
from rimaging.operators.convolution import Convolution
from rimaging.operators.correlated import CorrelatedGaussian, NoiseCorrelation
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.likelihood import Likelihood
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.target import largest_target, relative_kernel
from rimaging.operators.varying_convolution import VaryingConvolution
from rimaging.reconstruct import run
from rimaging.reconstruction import Reconstruction, centre_crop, like
from rimaging.uncertainty import Auto, ErrorMap

ALL_BELOW = 0.99
"""Share of the pixels that no level of a sky lies above: half of the empty ones lie above it."""


def deconvolve(
    image: Source,
    psf: Psf | None = None,
    noise: float | Array | None = None,
    mask: Array | None = None,
    target: float | None = None,
    weights: Weights = "astro",
    *,
    background: float | None = None,
    gain: float | None = None,
    read_noise: float | None = None,
    saturation: float | None = None,
    method: MethodName = "rim",
    boundary: Boundary = "reflect",
    steps: int | None = None,
    iterations: int | None = None,
    noise_to_signal: float | None = None,
    ensemble: bool = False,
    device: str | torch.device | None = None,
    keep_steps: bool = False,
    error_map: ErrorMap | Auto | None = "auto",
    add_residual: bool = False,
    noise_correlation: Correlation | None = None,
) -> Reconstruction:
    """Reconstruct the sky ``x`` as a narrower PSF would show it: ``y = K x + n``, ``psf = K * T``.

    ``T`` is a Gaussian, the target; ``K`` has sum 1, so flux is conserved, in the units of the
    image. Negative values are allowed.

    Args:
        image: real ``(..., y, x)``, bands in front; NumPy, torch, a path (FITS), or a
            `Measurement`. NaN pixels are masked, and areas of exact zeros around a noisy footprint.
            A band without any good pixel is left out and comes back NaN. CCDData of astropy bring
            mask, uncertainty, unit, header and PSF along.
        psf: array ``(y, x)``, or one per band ``(band, y, x)``, or its path; or the FWHM in pixels
            of a Gaussian, or a profile: ``"gaussian:3.2"``, ``"moffat:4.5"``, ``"moffat:4.5:2.5"``
            (FWHM and beta, 3 by default). Normalised to 1, padded to odd sides (with a warning).
            One that varies over the image: a model of PSFEx (``"field.psf"``), a STDPSF file, a
            `GriddedPSFModel` of photutils, a `VaryingPsf`. ``"stars"``: that of the image's own
            stars, of each band (`rimaging.datasets.epsf`). ``"beam"``: the clean beam of the
            header or of each channel, which is also taken where there is no other.
        noise: standard deviation of single pixels, a number or a map; else estimated by band.
        mask: 1 where a pixel is good, ``(..., y, x)``.
        target: FWHM of ``T`` in pixels; 0 deconvolves to points. By default 2, or the largest that
            a narrower PSF allows.
        weights: name, path or `RIM`; for ``method="rim"``.
        background: level of the empty sky, in the units of the image; by default the clipped median
            of each band, or its darkest part where that is lower. It is taken off before and put
            back after, since the zero of a sky is something that the methods know.
        gain, read_noise: electrons per unit of the image, and electrons: photon and read noise (a
            Poisson likelihood) in place of ``noise``.
        saturation: pixels from it on are masked; by default SATURATE of the header.
        method: ``"rim"``; or, to compare with, ``"richardson-lucy"`` or ``"wiener"``, whose answer
            is then seen by the target.
        boundary: what lies outside of the image: ``"reflect"`` mirrors it; ``"valid"`` leaves it
            unknown, slower, better where bright objects are cut.
        steps: of the RIM; as in training by default.
        iterations: of Richardson-Lucy, 30 by default.
        noise_to_signal: of Wiener; by default from the noise and the variance of the image.
        ensemble: of the RIM, the mean over the eight flips and turns of the image, eight times
            slower: shapes and places of sources have no direction of the network's own in them.
        device: by default the GPU if there is one.
        keep_steps: keep the estimate after each step.
        error_map: ``uncertainty``: ``"learned"`` as the weights of the RIM tell it; or by so many
            repetitions on redrawn data, 8 for example, each as long as the deconvolution
            (`rimaging.uncertainty`); or None. By default as the weights tell it, where they do.
        add_residual: put ``y - K x`` back into the image, as CLEAN does: light that the estimate
            does not explain stays at the resolution and the noise of the data, and fluxes of faint
            sources are whole (what an estimate of least error holds back, it holds back from them).
        noise_correlation: of pixels by their distance, for drizzled, resampled and stacked images:
            an image ``(y, x)`` with no lag in the middle, or its path; ``"auto"`` takes it from the
            quiet parts of the image, not for crowded fields. The noise then counts with its density
            where the PSF looks, and ``residual`` is whitened (`rimaging.operators.correlated`). By
            default stated noise is white; where it is estimated, a correlation that can only be the
            noise's is found by itself.

    Returns:
        A `Reconstruction` whose ``image`` is float32 on the grid of the data. Of a dask array, a
        lazy dask array of the image instead: a sample is computed now, tiles when they are looked
        at; larger skies go from file to file by `rimaging.mosaics.deconvolve`.

    Raises:
        DataError: no PSF, a PSF narrower than the target, noise that is not above zero.
        ShapeError: arrays that do not fit. OptionError: an unknown method, boundary or profile.
        FormatError, WeightsError: files and weights that cannot be read.
    """
    check_options(method, boundary, steps, iterations, noise_to_signal, ensemble)
    detector = _detector(gain, read_noise, noise)
    if is_dask(image):
        if detector is not None or saturation is not None:
            raise OptionError("gain and saturation of a lazy array: give noise= and mask= instead")
        plain = error_map in (None, "auto") and noise_correlation is None
        if not plain or add_residual or ensemble:
            raise OptionError(
                "a dask array has no error map, no residual, no ensemble and no correlation of its "
                "noise: compute() a cut-out and give that"
            )
        from rimaging.astro.lazy import lazily

        # A dask array out, of which the type of the door says nothing: nothing is computed yet.
        lazy: Reconstruction = lazily(
            image, psf, noise, mask, target, weights, background, steps, method, boundary
        )
        return lazy
    place = choose_device(device)
    whole = as_measurement(image, "sky", noise=noise, mask=mask)
    if mask is not None:
        doubt_mask(whole)
    whole = with_exposure(without_saturated(whole, saturation), counts=detector is not None)
    clean_beam = takes_beam(whole, psf)
    whole, varying = with_psf(whole, psf)
    check_psf(whole)
    measurement, there = without_empty(whole)
    measurement, level = _with_background(measurement, background)
    if detector is not None:
        measurement = detector.with_noise(measurement, level)
    measurement, correlation = _noise_of(measurement, noise_correlation, detector, clean_beam)
    measurement = with_doubts(measurement.completed())
    if varying is not None and method != "rim":
        raise OptionError(f"{method} takes one PSF for the whole image: use method='rim'")
    density = 1.0
    if correlation is not None and measurement.psf is not None:
        density = correlation.density(example(measurement.psf))  # the same for every piece
    measurement, fwhm = _with_target(measurement, target, varying)
    above_sky = replace(measurement, data=measurement.data - level)
    if detector is not None:
        above_sky = detector.electrons(measurement, level)

    def build(piece: Measurement) -> Likelihood:
        assert piece.psf is not None and piece.noise is not None
        operator: LinearOperator
        if varying is not None:
            operator = varying_operator(varying.relative(fwhm), piece.data, boundary)
        else:
            kernel = relative_kernel(piece.psf, fwhm).to(piece.data.dtype)
            operator = Convolution(kernel, piece.data.shape[-2:], boundary)
        if detector is not None:
            return detector.likelihood(operator, piece)
        if correlation is not None:
            return CorrelatedGaussian(
                operator, piece.data, piece.noise, correlation, density, weight=piece.mask
            )
        return Gaussian(operator, piece.data, piece.noise, weight=piece.mask)

    chosen = (
        rim_method(weights, steps, place, ensemble)
        if method == "rim"
        else classical(method, fwhm, boundary, iterations, noise_to_signal)
    )
    size = measurement.data.shape[-2:]

    def finish(x: Tensor, likelihood: Likelihood) -> Tensor:
        image = centre_crop(x, size)
        return image + likelihood.unexplained(x) if add_residual else image

    def learned_error(_: Tensor, tell: Callable[[bool], Tensor]) -> Tensor:
        return centre_crop(tell(add_residual), size)

    said = {"target_fwhm_pixels": fwhm, "psf": psf_source(psf), "boundary": boundary}
    if add_residual:
        said["add_residual"] = True
    if correlation is not None:
        said |= {"noise_correlation": correlation.neighbours, "noise_density": density}
    if detector is not None:
        said |= {"gain": detector.gain, "read_noise": detector.read_noise}
    chosen = replace(chosen, provenance={**chosen.provenance, **said})
    result = run(
        above_sky,
        chosen,
        build=build,
        any_unit=detector is None,
        finish=finish,
        device=place,
        keep_steps=keep_steps,
        error_map=_chosen_error(error_map, chosen, add_residual, correlation is not None),
        learned_error=learned_error,
    )
    per_unit = 1.0 if detector is None else detector.gain
    error = result.uncertainty
    found = replace(
        result,
        image=to_tensor(result.image) / per_unit + level,
        steps=[to_tensor(step) / per_unit + level for step in result.steps],
        uncertainty=None if error is None else to_tensor(error) / per_unit,
        measurement=measurement,
    )
    return like(found if there is None else with_empty(found, whole, there), image)


def varying_operator(
    kernel: VaryingPsf, data: Tensor, boundary: Boundary = "reflect"
) -> VaryingConvolution:
    """The operator of a varying PSF on images like ``data (..., y, x)``."""
    radius = (kernel.images.shape[-2] // 2, kernel.images.shape[-1] // 2)
    shape = (data.shape[-2], data.shape[-1])
    weights = kernel.weights(shape, radius if boundary == "valid" else (0, 0))
    return VaryingConvolution(kernel.images.to(data), weights.to(data), shape, boundary)


def _with_target(
    measurement: Measurement, target: float | None, varying: VaryingPsf | None
) -> tuple[Measurement, float]:
    """The target's width, and a note where it had to be chosen narrower than usual."""
    psfs = measurement.psf if varying is None else varying.samples(measurement.data.shape[-2:])
    assert psfs is not None
    if target is not None:
        target = one_number(target, "target", "give the FWHM in pixels")
        relative_kernel(psfs, target)  # say at once what cannot be
        return measurement, target
    width = largest_target(psfs, TARGET)
    if width == TARGET:
        return measurement, width
    note = f"target FWHM {width:.2f} pixels, since the PSF is too narrow for {TARGET:g}"
    assumed = [*measurement.provenance.get("assumed", []), note]
    return replace(measurement, provenance={**measurement.provenance, "assumed": assumed}), width


def _with_background(
    measurement: Measurement, background: float | None
) -> tuple[Measurement, Tensor]:
    """The level of the empty sky ``(..., 1, 1)``, and a note where it was estimated."""
    data = measurement.data
    if background is not None:
        hint = "take a map of the sky off the image before"
        background = one_number(background, "background", hint)
        if not math.isfinite(background):
            raise DataError(f"background is {background}: give the level of the empty sky")
        seen = data if measurement.mask is None else data[measurement.mask.expand(data.shape) > 0]
        below = float((seen < background).float().mean())
        if below > ALL_BELOW:
            raise DataError(
                f"background is {background:g} and {below:.1%} of the pixels lie below, expected "
                "the level of the empty sky in the image as it is: where the sky was taken off, "
                "leave it out or give 0"
            )
        return measurement, data.new_full((*data.shape[:-2], 1, 1), background)
    level = sky_level(data, measurement.mask)
    said = ", ".join(f"{value:.4g}" for value in level.flatten().tolist()[:8])
    note = f"background {said} (clipped median, or the darkest part), put back after"
    assumed = [*measurement.provenance.get("assumed", []), note]
    return replace(measurement, provenance={**measurement.provenance, "assumed": assumed}), level


def _noise_of(
    measurement: Measurement,
    given: Correlation | None,
    detector: Detector | None,
    clean_beam: bool,
) -> tuple[Measurement, NoiseCorrelation | None]:
    """How the noise correlates, as given or found; not that of a detector, whose pixels do not."""
    if detector is not None:
        if given is not None:
            raise OptionError("noise_correlation with gain: give noise= in place of the gain")
        return measurement, None
    if measurement.psf is None:  # which is said elsewhere
        return measurement, None
    return with_correlation(measurement, example(measurement.psf), given, clean_beam)


def _chosen_error(
    asked: ErrorMap | Auto | None, method: Method, add_residual: bool, correlated: bool
) -> ErrorMap | None:
    """What is told where nothing was asked for; OptionError for what nobody learned."""
    if asked != "auto" and asked != "learned":
        return asked
    if add_residual and (correlated or not method.error_residual):
        if asked == "auto":
            return None
        why = "where noise correlates" if correlated else "with these weights"
        raise OptionError(
            f"the error of an image with its residual is not learned {why}: give a number of "
            "repetitions, error_map=8 (--error-map 8)"
        )
    return None if asked == "auto" and method.error is None else "learned"


def _detector(
    gain: float | None, read_noise: float | None, noise: float | Array | None
) -> Detector | None:
    if gain is None:
        if read_noise is not None:
            raise OptionError("read_noise needs gain=, electrons per unit: or give noise=sigma")
        return None
    if noise is not None:
        raise OptionError("noise and gain say the same thing twice: give one of them")
    hint = "give noise= as a map where it changes over the image"
    return Detector(
        one_number(gain, "gain", hint), one_number(read_noise or 0.0, "read_noise", hint)
    )
