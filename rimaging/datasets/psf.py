"""Point spread functions made ready for convolution: odd, centred as they came, of sum 1."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rimaging.errors import DataError, ShapeError

__all__ = ["prepare_psf", "psf_doubts", "psf_shape", "resampled"]

OFF = 0.5
"""Pixels from the middle of a stamp within which a PSF counts as centred: the air moves some."""
RIM = 0.1
"""Share of its light that the level of the rim of a PSF may have: a Moffat cut at 2 FWHM has."""


def prepare_psf(psf: Tensor) -> tuple[Tensor, list[str]]:
    """Normalise PSFs (..., y, x) to sum 1 and pad even sides to odd: ``(psf, what was done)``.

    An even side has no middle pixel. Where its centroid lies on a pixel (the FFT convention) a row
    of zeros is added; where it lies between two, the PSF is moved by half a pixel with
    the Fourier shift theorem. A PSF is never recentred otherwise: that would move the sky.

    Raises ShapeError below two axes, DataError for complex values, NaN, for a sum that is not
    positive and for a dirty beam: of peak 1, with half as much below zero as is left over.
    """
    if psf.ndim < 2:
        raise ShapeError(f"the PSF has shape {tuple(psf.shape)}, expected (..., y, x).")
    if psf.is_complex():
        raise DataError(
            f"the PSF has dtype {psf.dtype}, expected real numbers: give psf.real, or its "
            "intensity abs(psf) ** 2 where it is an amplitude."
        )
    if not bool(torch.isfinite(psf).all()):
        raise DataError("the PSF has NaN or infinite pixels: replace them by zero or crop it.")
    sums = psf.sum(dim=(-2, -1), keepdim=True)
    if not bool((sums > 0).all()):
        raise DataError(
            f"the PSF sums to {float(sums.min()):.4g}, expected a positive sum: give the point "
            "spread function, not a dirty beam, whose sum means nothing."
        )
    peaks, sizes = psf.amax(dim=(-2, -1)), psf.abs().sum(dim=(-2, -1))
    if bool((((peaks - 1).abs() < 1e-3) & (sizes > 2 * sums[..., 0, 0])).any()):
        raise DataError(
            "the PSF is a dirty beam (peak 1, deep below zero), whose sum means nothing: image the "
            "visibilities (rimaging radio), or give the restored image with its clean beam."
        )
    notes = []
    low, high = float(sums.min()), float(sums.max())
    if max(abs(low - 1), abs(high - 1)) > 1e-4:
        came = f"{low:.6g}" if math.isclose(low, high) else f"{low:.6g} to {high:.6g}"
        notes.append(f"PSF normalised to sum 1 (came with {came})")
    psf = psf / sums
    for axis, name in ((-2, "y"), (-1, "x")):
        if psf.shape[axis] % 2 == 0:
            psf, how = _to_odd(psf, axis)
            notes.append(
                f"PSF padded from {psf.shape[axis] - 1} to {psf.shape[axis]} in {name}, {how}"
            )
    return psf, notes


def psf_doubts(psf: Tensor) -> list[str]:
    """What is to be said of PSFs ``(..., y, x)`` of sum 1 and odd sides that may not be meant so.

    Where one is centred more than `OFF` pixels from the middle of its stamp, the worst by its core
    (what is above half of the peak), and where the median of a rim is more than `RIM` of the light.
    """
    rows, columns = psf.shape[-2:]
    planes = psf.double().reshape(-1, rows, columns)
    core = (planes - planes.amax(dim=(-2, -1), keepdim=True) / 2).clamp_min(0)
    light = core.sum(dim=(-2, -1))
    off = []
    for axis, side in ((-2, columns), (-1, rows)):
        place = torch.arange(side, dtype=core.dtype, device=core.device) - side // 2
        off.append((core.sum(dim=axis) @ place) / light)
    worst = int(torch.hypot(*off).argmax())
    x, y = (float(along[worst]) for along in off)
    notes = []
    if math.hypot(x, y) > OFF:
        notes.append(
            f"PSF centred {x:+.2f}, {y:+.2f} pixels (x, y) from its middle: the sky comes out "
            "moved by as much the other way"
        )
    rim = torch.cat([planes[:, 0], planes[:, -1], planes[:, :, 0], planes[:, :, -1]], dim=-1)
    stands = rim.median(dim=-1).values
    stands = torch.where(stands < planes.amax(dim=(-2, -1)) / 2, stands, 0)  # else it is a box
    level = float(stands.max()) * rows * columns
    if level > RIM:
        notes.append(
            f"the rim of the PSF stands at a level that is {level:.0%} of its light: "
            "fluxes come out too large where that is sky, which is to be taken off"
        )
    return notes


def _to_odd(psf: Tensor, axis: int) -> tuple[Tensor, str]:
    """Pad one even axis to odd so that its middle is the PSF's own."""
    length = psf.shape[axis]
    profile = psf.clamp_min(0).sum(dim=-1 if axis == -2 else -2).reshape(-1, length).mean(dim=0)
    position = torch.arange(length, dtype=profile.dtype, device=profile.device)
    offset = float((profile * position).sum() / profile.sum()) - (length - 1) / 2
    zeros = torch.zeros_like(psf.narrow(axis, 0, 1))
    if offset > 0.25:
        return torch.cat((psf, zeros), dim=axis), "its centre was on a pixel"
    if offset < -0.25:
        return torch.cat((zeros, psf), dim=axis), "its centre was on a pixel"
    frequency = torch.fft.fftfreq(length + 1, dtype=profile.dtype, device=profile.device)
    shift = torch.exp(-1j * math.pi * frequency)
    if axis == -2:
        shift = shift[:, None]
    spectrum = torch.fft.fft(torch.cat((psf, zeros), dim=axis), dim=axis)
    return torch.fft.ifft(spectrum * shift, dim=axis).real, "moved by half a pixel"


def psf_shape(psf: Tensor) -> tuple[float, float]:
    """FWHM in pixels and ellipticity ``1 - b / a`` of one PSF ``(y, x)``.

    The FWHM is that of a circle as large as the area above half of the peak, on a grid eight times
    finer (Fourier interpolation); the axes ``a`` and ``b`` are those of the second moments of that
    area.

    Raises ShapeError for more than one PSF, DataError for one without a positive peak.
    """
    if psf.ndim != 2:
        raise ShapeError(f"the PSF has shape {tuple(psf.shape)}, expected one, (y, x).")
    spectrum = torch.fft.fftshift(torch.fft.fft2(psf.double()))
    height, width = psf.shape
    fine = spectrum.new_zeros(8 * height, 8 * width)
    top, left = (8 * height) // 2 - height // 2, (8 * width) // 2 - width // 2
    fine[top : top + height, left : left + width] = spectrum
    image = torch.fft.ifft2(torch.fft.ifftshift(fine)).real
    peak = image.max()
    if not bool(peak > 0):
        raise DataError("the PSF has no positive peak: give a point spread function.")
    rows, columns = torch.nonzero(image >= peak / 2, as_tuple=True)
    points = torch.stack((rows, columns)).double() / 8
    offset = points - points.mean(dim=1, keepdim=True)
    covariance = offset @ offset.T / offset.shape[1] + torch.eye(2) / (12 * 64)
    small, large = torch.linalg.eigvalsh(covariance).tolist()
    return 2 * math.sqrt(len(rows) / 64 / math.pi), 1 - math.sqrt(max(small, 0.0) / large)


def resampled(
    psf: Tensor,
    factor: float,
    radius: tuple[int, int] | None = None,
    middle: tuple[float, float] | None = None,
) -> Tensor:
    """PSFs ``(..., y, x)`` so many times wider in pixels, about their middle: ``p(r / factor)``.

    Band-limited (sinc) interpolation: exact for a PSF sampled finely enough. Values stay, so the
    sum grows by about ``factor^2``. A factor of 1/4 takes an image oversampled 4-fold to the pixels
    of the detector. radius: of the result, ``(y, x)``; by default as far as the input reaches.
    middle: of the input, ``(y, x)`` counted from 0, between pixels too; by default ``side // 2``.
    """
    matrices = []
    for axis in (0, 1):
        side = psf.shape[axis - 2]
        centre = side // 2 if middle is None else middle[axis]
        reach = int(centre * factor) if radius is None else radius[axis]
        place = torch.arange(-reach, reach + 1, dtype=torch.float64) / factor
        nodes = torch.arange(side, dtype=torch.float64) - centre
        matrices.append(torch.sinc(place[:, None] - nodes[None, :]).to(psf.device))
    return (matrices[0] @ psf.double() @ matrices[1].T).to(psf.dtype)
