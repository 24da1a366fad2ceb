"""FITS out: SCI, ERR, DQ, RES, PSFOUT and BEAMS under the whole header of the input."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from rimaging import __version__
from rimaging.datasets.fits_axes import pixel_scales, spectral_axis, stokes_axis
from rimaging.datasets.fits_beams import Beams, beams_table, is_per_beam, round_beams
from rimaging.datasets.fits_header import carried, saturation, without
from rimaging.datasets.measurement import Measurement
from rimaging.operators.target import gaussian_psf

if TYPE_CHECKING:
    from astropy.io.fits import HDUList, Header

__all__ = ["PLANES", "fits_hdus"]

PLANES = {
    "RIMFILL": (24, "masked, NaN or without noise"),
    "RIMSAT": (25, "saturated: at or above SATURATE"),
}
"""Our bits of DQ: card, its usual number (moved up where the input uses it), meaning."""

BEAM = ("BMAJ", "BMIN", "BPA", "CASAMBM")


@dataclass(frozen=True)
class _Units:
    """What to multiply an image by, and the unit and beams that it then has."""

    factor: np.ndarray | float = 1.0
    unit: str | None = None
    beams: Beams | None = None
    said: str = ""


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
    `PLANES`. An image in Jy/beam is that of another beam than the input's, so it is multiplied by
    the ratio of the beams and BMAJ, BMIN, BPA follow; without a finite target it becomes Jy/pixel.

    Raises ShapeError where the header describes another sampling.
    """
    from astropy.io import fits

    facts = provenance or {}
    sky = measurement is not None and measurement.kind == "sky"
    shape = tuple(image.shape) if measurement is None else measurement.image_shape
    header = None if measurement is None or measurement.kind == "kspace" else measurement.header
    target = facts.get("target_fwhm_pixels") if sky else None
    units = _restored(measurement, target) if sky else _Units()

    primary = fits.PrimaryHDU()
    primary.header["DATE"] = (datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"), "UTC of writing")
    primary.header["RIMVER"] = (__version__, "version of rimaging")
    hdus = fits.HDUList([primary])

    cards = fits.Header() if header is None else carried(header, shape, image.shape)
    cards = without(cards, "MP_*")
    if units.unit is not None:
        cards["BUNIT"] = (units.unit, units.said[:46])
        cards = _with_beams(cards, units.beams)
    brief = without(cards, "HISTORY", "COMMENT")  # once is enough: some have tens of thousands
    science = cards.copy()
    _sign(science, facts, measurement)
    science.add_history((history or f"rimaging {__version__}")[:72])
    hdus.append(fits.ImageHDU(_float(image * units.factor), science, name="SCI"))
    if phase is not None:
        hdus.append(fits.ImageHDU(_float(phase), without(brief, "BUNIT"), name="PHASE"))
    if uncertainty is not None:
        error = fits.ImageHDU(_float(uncertainty * units.factor), brief, name="ERR")
        error.header.add_comment("standard deviation of SCI" + _error_said(facts))
        hdus.append(error)
    if measurement is not None and measurement.kind != "kspace":
        flags = _flags(measurement)
        data_cards = fits.Header() if header is None else carried(header, shape, shape)
        data_cards = without(data_cards, "HISTORY", "COMMENT", "BUNIT")
        if flags is not None:
            hdus.append(_quality(flags, data_cards, measurement))
        if residual is not None and residual.shape == shape:
            seen = without(data_cards, "MP_*", "CASAMBM")
            hdu = fits.ImageHDU(_float(residual), seen, name="RES")
            hdu.header.add_comment(_residual_said(facts))
            hdus.append(hdu)
    elif measurement is None and residual is not None and residual.shape == image.shape:
        hdus.append(fits.ImageHDU(_float(residual), name="RES"))
    if target is not None:
        hdus.append(_psf(float(target), cards))
    if units.beams is not None and units.beams.table:
        hdus.append(beams_table(units.beams))
    return hdus, [units.said] if units.said else []


def _error_said(facts: dict[str, Any]) -> str:
    how = facts.get("error_map", {})
    if how.get("learned"):
        return ", as the weights tell it"
    count = how.get("replicates")
    return "" if count is None else f", from {count} repetitions on redrawn data"


def _residual_said(facts: dict[str, Any]) -> str:
    if facts.get("add_residual"):
        return "residual in units of the noise; in SCI it was put back"
    return "(data - PSF * SCI) / sigma: the residual in units of the noise"


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
        "RIMCHI2": (facts.get("chi2"), "mean square of RES"),
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


def _noise_model(measurement: Measurement | None, facts: dict[str, Any]) -> str | None:
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
    """DQ: the bits of the input, and ours in planes that it does not use."""
    from astropy.io import fits

    used = int(np.bitwise_or.reduce(flags, axis=None))
    for card in header:
        if card.startswith("MP_") and isinstance(header[card], int):
            used |= 1 << header[card]
    # JWST gives each of its 32 bits a meaning
    free = 32 if flags.dtype == np.int64 or used >> 30 else min(v[0] for v in PLANES.values())
    if free == 32:
        flags = flags.astype(np.int64)
    planes = {}
    data = measurement.data.detach().cpu().numpy()
    header = header.copy()
    assert measurement.header is not None or not header
    full = data >= (math.inf if measurement.header is None else saturation(measurement.header))
    bad = np.zeros(flags.shape, bool)
    if measurement.mask is not None:
        bad |= np.broadcast_to(measurement.mask.detach().cpu().numpy() == 0, flags.shape)
    for (name, (_, meaning)), where in zip(PLANES.items(), (bad, full), strict=True):
        while used >> free & 1:
            free += 1
        planes[name] = (free, f"DQ bit: {meaning}")
        flags |= np.where(where, np.array(1 << free, flags.dtype), np.array(0, flags.dtype))
        free += 1
    hdu = fits.ImageHDU(flags, header, name="DQ")
    for name, card in planes.items():
        hdu.header[name] = card
    hdu.header.add_comment("bits below RIMFILL are those of the input")
    return hdu


def _restored(measurement: Measurement | None, target: float | None) -> _Units:
    """From the beam of the input to that of the output, where the image counts per beam."""
    if measurement is None or measurement.header is None or target is None:
        return _Units()
    if not is_per_beam(measurement.units):
        return _Units()
    scales = pixel_scales(measurement.header)
    beams = measurement.beams
    if beams is not None and scales is not None:
        area = beams.solid_angle / (scales[0] * scales[1])
        area = np.where(np.isfinite(area), area, np.nanmedian(area))
    elif measurement.psf is not None:
        psf = measurement.psf.detach().cpu().numpy().astype(np.float64)
        area = np.atleast_2d((psf.sum(axis=(-2, -1)) / psf.max(axis=(-2, -1))).squeeze())
    else:
        return _Units()
    flux = re.split(r"[/ ]", str(measurement.units).strip())[0]
    flux = "Jy" if flux.lower() == "jy" else "mJy" if flux.lower() == "mjy" else flux
    along = _along_channels(area, measurement)
    if not target > 0:
        said = f"{flux}/pixel; was per beam of {np.median(area):.4g} pixels"
        return _Units(1 / along, f"{flux}/pixel", None, said)
    new = math.pi * target**2 / (4 * math.log(2))
    said = f"beam of {new:.4g} pixels; was {np.median(area):.4g}"
    if scales is None:
        return _Units(new / along, f"{flux}/beam", None, said)
    width = target * math.sqrt(scales[0] * scales[1])
    one = np.full((1, 1), 1.0)
    like = beams if beams is not None else Beams(one, one, one, table=False)
    return _Units(new / along, f"{flux}/beam", round_beams(width, like), said)


def _along_channels(area: np.ndarray, measurement: Measurement) -> np.ndarray:
    """``(polarisation, channel)`` laid along the axes of the image."""
    assert measurement.header is not None
    axes = len(measurement.image_shape)
    shape = [1] * axes
    channel, stokes = spectral_axis(measurement.header, axes), stokes_axis(measurement.header, axes)
    if area.size == 1 or channel is None:
        return np.reshape(area.flat[:1], shape)
    shape[channel] = area.shape[1]
    if stokes is not None and area.shape[0] > 1:
        shape[stokes] = area.shape[0]
        if stokes > channel:
            area = area.T
    return area.reshape(shape)


def _with_beams(header: Header, beams: Beams | None) -> Header:
    cards = without(header, *BEAM)
    if beams is None:
        return cards
    if beams.table:
        cards["CASAMBM"] = (True, "beams of the channels in BEAMS")
        return cards
    cards["BMAJ"] = (float(beams.major[0, 0]), "[deg] FWHM of the beam of SCI")
    cards["BMIN"] = (float(beams.minor[0, 0]), "[deg]")
    cards["BPA"] = (float(beams.angle[0, 0]), "[deg] from north through east")
    return cards


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
