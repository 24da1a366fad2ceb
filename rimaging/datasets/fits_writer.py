"""FITS out: SCI, ERR, DQ, RES, PSFOUT and BEAMS under the whole header of the input."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from rimaging import __version__
from rimaging.datasets.fits_axes import pixel_scales
from rimaging.datasets.fits_beams import beams_table
from rimaging.datasets.fits_header import carried, saturation, without
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.target_beam import TargetBeam, target_beam, with_target_beam
from rimaging.operators.target import gaussian_psf

if TYPE_CHECKING:
    from astropy.io.fits import HDUList, Header

__all__ = ["PLANES", "fits_hdus"]

PLANES = {
    "RIMFILL": (24, "masked, NaN or without noise"),
    "RIMSAT": (25, "saturated: at or above SATURATE"),
}
"""Our bits of DQ: card, its usual number (moved up where the input uses it), meaning."""


def fits_hdus(
    image: np.ndarray,
    measurement: Measurement | None = None,
    *,
    uncertainty: np.ndarray | None = None,
    residual: np.ndarray | None = None,
    phase: np.ndarray | None = None,
    provenance: dict[str, Any] | None = None,
    history: str = "",
) -> tuple[HDUList, list[str]]:
    """The extensions of a result, in memory, and what was converted.

    An empty primary, SCI (float32) and, where they are known: ERR, DQ, RES (in units of the noise),
    PSFOUT (the PSF of SCI, sum 1), BEAMS (of a cube that came with a table of them). SCI has the
    input's header with our cards and one HISTORY line. DQ keeps the bits of the input and adds
    `PLANES`. An image is that of another beam than the input's, so BMAJ, BMIN, BPA are the target's
    and one in Jy/beam is multiplied by the ratio of the beams; without a finite target it becomes
    Jy/pixel.

    Raises ShapeError where the header describes another sampling.
    """
    from astropy.io import fits

    facts = provenance or {}
    sky = measurement is not None and measurement.kind == "sky"
    shape = tuple(image.shape) if measurement is None else measurement.image_shape
    header = None if measurement is None or measurement.kind == "kspace" else measurement.header
    target = facts.get("target_fwhm_pixels") if sky else None
    beam = _beam_of(measurement, target) if sky else None
    factor = 1.0 if beam is None else beam.factor

    primary = fits.PrimaryHDU()
    primary.header["DATE"] = (datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"), "UTC of writing")
    primary.header["RIMVER"] = (__version__, "version of rimaging")
    hdus = fits.HDUList([primary])

    cards = fits.Header() if header is None else carried(header, shape, image.shape)
    cards = without(cards, "MP_*")
    cards = with_target_beam(cards, beam)
    brief = without(cards, "HISTORY", "COMMENT")  # once is enough: some have tens of thousands
    science = cards.copy()
    _sign(science, facts, measurement)
    science.add_history((history or f"rimaging {__version__}")[:72])
    hdus.append(fits.ImageHDU(_float(image * factor), science, name="SCI"))
    if phase is not None:
        hdus.append(fits.ImageHDU(_float(phase), without(brief, "BUNIT"), name="PHASE"))
    if uncertainty is not None:
        error = fits.ImageHDU(_float(uncertainty * factor), brief, name="ERR")
        error.header.add_comment("standard deviation of SCI" + _error_said(facts))
        hdus.append(error)
    if measurement is not None and measurement.kind != "kspace":
        flags = _flags(measurement)
        data_cards = fits.Header() if header is None else carried(header, shape, shape)
        data_cards = without(data_cards, "HISTORY", "COMMENT", "BUNIT", "CASAMBM")
        if flags is not None:
            hdus.append(_quality(flags, data_cards, measurement))
        if residual is not None and residual.shape == shape:
            seen = without(data_cards, "MP_*")
            hdu = fits.ImageHDU(_float(residual), seen, name="RES")
            hdu.header.add_comment(_residual_said(facts, deconvolved=target is not None))
            hdus.append(hdu)
    elif measurement is None and residual is not None and residual.shape == image.shape:
        hdus.append(fits.ImageHDU(_float(residual), name="RES"))
    if target is not None:
        hdus.append(_psf(float(target), cards))
    if beam is not None and beam.beams is not None and beam.beams.table:
        hdus.append(beams_table(beam.beams))
    return hdus, [beam.said] if beam is not None and beam.said else []


def _error_said(facts: dict[str, Any]) -> str:
    how = facts.get("error_map", {})
    if how.get("learned"):
        return ", as the weights tell it"
    count = how.get("replicates")
    return "" if count is None else f", from {count} repetitions on redrawn data"


def _residual_said(facts: dict[str, Any], *, deconvolved: bool) -> str:
    if facts.get("add_residual"):
        return "residual in units of the noise; in SCI it was put back"
    if deconvolved:
        return "(data - K * SCI) / sigma, where K * PSFOUT is the PSF of the data"
    return "(data - what SCI would have given) / sigma"


def _float(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, np.float32)


def _sign(header: Header, facts: dict[str, Any], measurement: Measurement | None) -> None:
    """The cards that say how the image was made."""
    header["RIMVER"] = (__version__, "version of rimaging")
    header["DATE"] = (datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"), "UTC of writing")
    weights = facts.get("weights") or {}
    method = weights.get("name") or facts.get("method")
    tiles = facts.get("tiles") or {}
    cards = {
        "RIMMODEL": (method and str(method)[:60], "weights, or method"),
        "RIMHASH": (weights.get("sha256"), ""),
        "RIMSTEPS": (facts.get("steps"), "steps of inference"),
        "RIMTILE": (tiles.get("tile", 0) if facts else None, "pixels; 0: not cut into tiles"),
        "RIMHALO": (tiles.get("halo", 0) if facts else None, "pixels around a tile"),
        "RIMSEAM": (tiles.get("seam", 0.0) if facts else None, "largest seam, units of the noise"),
        "RIMCHI2": (facts.get("chi2"), _chi2_said(measurement)),
        "RIMPSF": (facts.get("psf") and str(facts["psf"])[:60], "where the PSF came from"),
        "RIMADD": (facts.get("add_residual"), "the residual was put back into SCI"),
        "PSFFWHM": (facts.get("target_fwhm_pixels"), "[pixel] FWHM of PSFOUT, the PSF of SCI"),
        "NOISEMDL": (_noise_model(measurement, facts), "noise of the data"),
    }
    for name, (value, comment) in cards.items():
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            header.remove(name, ignore_missing=True)
        else:
            header[name] = (value, comment)


def _chi2_said(measurement: Measurement | None) -> str:
    seen = measurement is not None and "visibilities" in measurement.provenance
    return "of the visibilities" if seen else "mean square of RES"


def _noise_model(measurement: Measurement | None, facts: dict[str, Any]) -> str | None:
    if "gain" in facts:
        return "Poisson, by gain and read noise"
    if measurement is None or measurement.noise is None:
        return None
    noise = measurement.noise
    per_pixel = not isinstance(noise, int | float) and max(noise.shape[-2:], default=1) > 1
    kind = "RMS map" if per_pixel else "RMS"
    assumed = " ".join(map(str, facts.get("assumed", [])))
    return f"{kind}, estimated" if "estimated from" in assumed and "noise" in assumed else kind


def _flags(measurement: Measurement) -> np.ndarray | None:
    """The input's bits, broadcast to the image; None where there is nothing to flag."""
    if measurement.quality is None and measurement.mask is None:
        return None
    if measurement.quality is None:
        return np.zeros(measurement.image_shape, np.int32)
    return np.broadcast_to(measurement.quality, measurement.image_shape).copy()


def _quality(flags: np.ndarray, header: Header, measurement: Measurement) -> Any:
    """DQ: the bits of the input, and ours in planes that it does not use, if there are two."""
    from astropy.io import fits

    width = 8 * flags.dtype.itemsize
    used = int(np.bitwise_or.reduce(flags, axis=None)) & ((1 << width) - 1)  # the sign is a bit
    for card in header:
        if card.startswith("MP_") and isinstance(header[card], int):
            used |= 1 << header[card]
    # JWST gives each of its 32 bits a meaning
    full_words = flags.dtype == np.int64 or bool(used >> 30)
    free = [] if full_words else _free_bits(used, min(v[0] for v in PLANES.values()), 31)
    if not free:
        free = _free_bits(used, 32, 63)
        low = -1 if width == 64 else (1 << width) - 1
        flags = flags.astype(np.int64) & low
    data = measurement.data.detach().cpu().numpy()
    header = header.copy()
    assert measurement.header is not None or not header
    full = data >= (math.inf if measurement.header is None else saturation(measurement.header))
    bad = np.zeros(flags.shape, bool)
    if measurement.mask is not None:
        bad |= np.broadcast_to(measurement.mask.detach().cpu().numpy() == 0, flags.shape)
    planes = {}
    for (name, (_, meaning)), bit, where in zip(PLANES.items(), free, (bad, full), strict=False):
        planes[name] = (bit, f"DQ bit: {meaning}")
        flags |= np.where(where, np.array(1 << bit, flags.dtype), np.array(0, flags.dtype))
    hdu = fits.ImageHDU(flags, header, name="DQ")
    for name, card in planes.items():
        hdu.header[name] = card
    hdu.header.add_comment(
        "bits below RIMFILL are those of the input"
        if planes
        else "every bit is used by the input: RIMFILL and RIMSAT are left out"
    )
    return hdu


def _free_bits(used: int, first: int, end: int) -> list[int]:
    """The lowest bits of ``first:end`` that are free, one for each of `PLANES`; else none."""
    free = [bit for bit in range(first, end) if not used >> bit & 1][: len(PLANES)]
    return free if len(free) == len(PLANES) else []


def _beam_of(measurement: Measurement | None, target: float | None) -> TargetBeam | None:
    """What the target makes of the beam of a measurement."""
    if measurement is None or measurement.header is None or target is None:
        return None
    psf = measurement.psf
    return target_beam(
        measurement.header,
        measurement.image_shape,
        measurement.units,
        measurement.beams,
        None if psf is None else psf.detach().cpu().numpy(),
        float(target),
    )


def _psf(fwhm: float, header: Header) -> Any:
    """The declared PSF of SCI, of sum 1: a Gaussian, or one pixel where its width is 0."""
    from astropy.io import fits

    stamp = gaussian_psf(fwhm).numpy() if fwhm > 0 else np.ones((1, 1), np.float32)
    hdu = fits.ImageHDU(_float(stamp), name="PSFOUT")
    hdu.header["PSFFWHM"] = (fwhm, "[pixel] FWHM")
    scales = pixel_scales(header)
    if scales is not None:
        hdu.header["PIXSCALE"] = (3600 * math.sqrt(scales[0] * scales[1]), "[arcsec/pixel]")
    return hdu
