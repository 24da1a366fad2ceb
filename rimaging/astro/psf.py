"""What the door takes for a PSF: arrays, files, widths, profiles, beams, models that vary."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.beam_psf import beam_psf
from rimaging.datasets.fits_axes import spectral_axis
from rimaging.datasets.fits_open import open_fits, split_extension
from rimaging.datasets.fits_psf import read_fits_psf
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.open import open_array, sniff
from rimaging.datasets.psf import psf_doubts
from rimaging.datasets.psf_grid import (
    gridded_psf,
    image_psf,
    is_gridded_model,
    is_image_model,
    read_stdpsf,
)
from rimaging.datasets.psfex import find_psfex, read_psfex
from rimaging.datasets.sources import Array, single
from rimaging.datasets.varying_psf import VaryingPsf
from rimaging.errors import DataError, FormatError, OptionError, ShapeError
from rimaging.method import one_number
from rimaging.operators.target import gaussian_psf, radius_squared

if TYPE_CHECKING:
    from astropy.io.fits import Header

Psf = Array | str | Path | float | VaryingPsf

STARS = "stars"
"""The PSF that asks for that of the image's own stars."""

WIDEST = 1000
"""FWHM in pixels of the widest profile that is drawn: its stamp has 5,000 pixels along a side."""

TARGET = 2.0
"""FWHM in pixels of the target PSF that the weights ``astro`` were trained for."""


def with_psf(measurement: Measurement, psf: Psf | None) -> tuple[Measurement, VaryingPsf | None]:
    """The measurement with its PSF, and the varying PSF if it is one.

    Of a varying PSF the measurement gets the one in its middle, to check and to show.
    """
    if isinstance(psf, str) and psf == STARS:
        return _from_stars(measurement), None
    if takes_beam(measurement, psf):
        beams = measurement.beams
        if beams is None or measurement.header is None:
            raise DataError("psf='beam', and the image states no beam (BMAJ, BEAMS): give psf=")
        note = "PSF taken from the beam that the file states"
        assumed = [*measurement.provenance.get("assumed", []), note]
        return replace(
            measurement,
            psf=beam_psf(beams, measurement.header, tuple(measurement.data.shape)),
            provenance={**measurement.provenance, "assumed": assumed},
        ), None
    if psf is None:
        return measurement, None
    varying = as_varying(psf)
    if varying is None:
        return replace(
            measurement, psf=_of_section(as_psf(psf, measurement.header), measurement)
        ), None
    if measurement.section is not None:
        (top, _), (left, _) = measurement.section.ranges[-2:]
        varying = varying.moved((varying.origin[0] + top, varying.origin[1] + left))
    middle = [(n - 1) / 2 for n in measurement.data.shape[-2:]]
    return replace(measurement, psf=varying.at(*middle)), varying


def takes_beam(measurement: Measurement, psf: Psf | None) -> bool:
    """Whether the clean beam that the file states is the PSF: asked for, or without another."""
    if isinstance(psf, str) and psf == "beam":
        return True
    return psf is None and measurement.psf is None and measurement.beams is not None


def _of_section(psf: Tensor, measurement: Measurement) -> Tensor:
    """Of one PSF for each channel of the whole cube those of the channels that were read."""
    section, header = measurement.section, measurement.header
    axis = None
    if section is not None and header is not None:
        axis = spectral_axis(header, len(section.whole))
    if section is None or axis is None or psf.ndim < -axis:
        return psf
    start, end = section.ranges[axis]
    if psf.shape[axis] != section.whole[axis] or psf.shape[axis] == end - start:
        return psf
    return psf.narrow(axis, start, end - start)


def _from_stars(measurement: Measurement) -> Measurement:
    """The measurement with the PSF of its own stars, one for each band, and a note of them.

    An empty band has no stars and gets that of the first one that is not.
    """
    from rimaging.datasets.epsf import psf_of_stars

    data, mask = measurement.data, measurement.mask
    planes = data.reshape(-1, *data.shape[-2:])
    known = [None] * len(planes)
    if mask is not None:
        known = list(mask.expand(data.shape).reshape(planes.shape))
    there = [good is None or bool((good > 0).any()) for good in known]
    bands = [
        Measurement(kind="sky", data=plane, mask=good, header=measurement.header)
        for plane, good, seen in zip(planes, known, there, strict=True)
        if seen
    ]
    found = [psf_of_stars(band) for band in bands]
    side = max(one.psf.shape[-1] for one in found)
    if any(one.psf.shape[-1] != side for one in found):
        found = [psf_of_stars(band, side=side) for band in bands]
    own = iter(found)
    each = [next(own).psf if seen else found[0].psf for seen in there]
    stack = torch.stack(each).reshape(*data.shape[:-2], side, side)
    said = ", ".join(f"{one.fwhm:.2f} pixels from {one.stars}" for one in found[:8])
    assumed = [*measurement.provenance.get("assumed", []), f"PSF of FWHM {said} of its own stars"]
    return replace(
        measurement, psf=stack, provenance={**measurement.provenance, "assumed": assumed}
    )


def as_varying(psf: object) -> VaryingPsf | None:
    """A PSF that varies, from a model or the path of one; None for what is no such model."""
    if isinstance(psf, VaryingPsf):
        return psf
    if is_gridded_model(psf):
        return gridded_psf(psf)
    if not isinstance(psf, str | Path) or str(psf).startswith(("gaussian:", "moffat:")):
        return None
    path, extension = split_extension(psf)
    if extension is not None or not path.is_file() or sniff(path) != "fits":
        return None
    with open_fits(path) as file:
        psfex = find_psfex(file.hdus) is not None
        stdpsf = "NXPSFS" in file.hdus[0].header
    if psfex:
        return read_psfex(path)
    return read_stdpsf(path) if stdpsf else None


def psf_source(psf: Psf | None) -> str:
    """In words, where a PSF came from."""
    if psf is None:
        return "the file of the image"
    if isinstance(psf, VaryingPsf):
        return psf.name
    if is_gridded_model(psf):
        return "GriddedPSFModel"
    if is_image_model(psf):
        return type(psf).__name__
    width = _width(psf)
    if width is not None:
        return f"gaussian:{width:g}"
    return Path(psf).name if isinstance(psf, str | Path) else f"array {tuple(np.shape(psf))}"


def as_psf(psf: Psf, header: Header | None = None) -> Tensor:
    """A PSF ``(..., y, x)`` from an array, a path, a FWHM in pixels, or a profile by name.

    ``header``, of the image, says how large its pixels are: a file of another scale is refused.
    """
    width = _width(psf)
    if width is not None:
        return _gaussian(width)
    if isinstance(psf, VaryingPsf):
        raise OptionError(f"the PSF {psf.name!r} varies, one for the whole image is needed here")
    if is_image_model(psf):
        return image_psf(psf)
    if not isinstance(psf, str | Path):
        return single(to_tensor(psf, "PSF"))
    if psf == STARS:
        raise OptionError(
            "the PSF of an image's own stars is sought in memory: larger images take it from a "
            "file, which `rimaging psf IMAGE -o psf.fits` writes"
        )
    if psf == "beam":
        raise OptionError(
            "the beam of a header is drawn for images that are seen whole, not tile by tile: give "
            "gaussian:FWHM in pixels, or the PSF as a file, and --noise"
        )
    name, _, numbers = str(psf).partition(":")
    if name not in ("gaussian", "moffat"):
        path = split_extension(psf)[0]
        if not path.exists():
            raise FormatError(
                f"the PSF {path.name!r} does not exist: give a file, a FWHM in pixels, "
                "'moffat:4.5', or 'stars' for that of the image's own stars"
            )
        if sniff(path) == "fits":
            return read_fits_psf(psf, header)
        return single(open_array(psf, "psf"))
    try:
        values = [float(number) for number in numbers.split(":")]
    except ValueError:
        values = []
    if name == "gaussian" and len(values) == 1:
        return _gaussian(values[0])
    if name == "moffat" and len(values) in (1, 2):
        return moffat_psf(*values)
    raise OptionError(
        f"the PSF {str(psf)!r} is no profile: write 'gaussian:3.2' or 'moffat:4.5:2.5' (FWHM, beta)"
    )


def _width(psf: object) -> float | None:
    """A FWHM that was given as any kind of number, an array or tensor without axes included."""
    if isinstance(psf, Real) or (isinstance(psf, np.ndarray | Tensor) and psf.ndim == 0):
        return one_number(psf, "psf", "give the FWHM in pixels, without a unit")
    return None


def _gaussian(fwhm: float) -> Tensor:
    _check_width(fwhm)
    return gaussian_psf(fwhm)


def _check_width(fwhm: float) -> None:
    if not (math.isfinite(fwhm) and fwhm <= WIDEST):
        raise OptionError(
            f"a PSF of FWHM {fwhm} pixels: give a width up to {WIDEST}, or the PSF itself as a file"
        )


def moffat_psf(fwhm: float, beta: float = 3.0) -> Tensor:
    """A Moffat ``(1 + r^2 / a^2)^-beta`` of sum 1, cut at 5 FWHM; the PSF of a turbulent sky.

    Raises OptionError for a width that is not above 0 or above `WIDEST`, and for a beta that is not
    above 1.
    Source: Moffat (1969), Astronomy and Astrophysics 3, 455.
    """
    if not (fwhm > 0 and beta > 1 and math.isfinite(beta)):
        raise OptionError(f"a Moffat has FWHM > 0 and a finite beta > 1, got {fwhm} and {beta}")
    _check_width(fwhm)
    core = fwhm / (2 * math.sqrt(2 ** (1 / beta) - 1))
    profile = (1 + radius_squared(math.ceil(5 * fwhm)) / core**2) ** -beta
    return (profile / profile.sum()).float()


def with_doubts(measurement: Measurement) -> Measurement:
    """The measurement with a note, and a warning, of a PSF that moves the sky or stands on one."""
    doubts = [] if measurement.psf is None else psf_doubts(measurement.psf)
    if not doubts:
        return measurement
    for doubt in doubts:
        warnings.warn(doubt, stacklevel=3)
    assumed = [*measurement.provenance.get("assumed", []), *doubts]
    return replace(measurement, provenance={**measurement.provenance, "assumed": assumed})


def check_psf(measurement: Measurement) -> None:
    """Raise DataError for no PSF, ShapeError for one that fits no band of ``(..., y, x)``."""
    psf, lead = measurement.psf, tuple(measurement.data.shape[:-2])
    if psf is None:
        raise DataError(
            "deconvolution needs a PSF: give psf=, an array, a file, a FWHM in pixels, "
            "'moffat:4.5', or 'stars' for that of the image's own stars"
        )
    own = tuple(psf.shape[:-2])
    aligned = zip(reversed(own), reversed(lead), strict=False)
    if len(own) > len(lead) or any(n not in (1, m) for n, m in aligned):
        raise ShapeError(
            f"the PSF has shape {tuple(psf.shape)} and the image {tuple(measurement.data.shape)}: "
            "give one PSF (y, x), or one for each band"
        )
