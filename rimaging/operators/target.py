"""The target PSF of a deconvolution, and the kernel between it and the PSF of the image.

An image of infinitely thin stars cannot be sampled: what is sought is the sky seen by a narrow
Gaussian, the target T. The PSF of the image is then P = K * T, and the image K * x + n.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError, ShapeError

DAMPING = 1e-6
LARGEST_GAIN = 1.005
"""Largest |K| in Fourier space; a target as wide as the PSF gives 1, a wider one more."""


def gaussian_transfer(fwhm: float, fy: Tensor, fx: Tensor) -> Tensor:
    """Transfer function exp(-2 pi^2 s^2 f^2) of a Gaussian, s = fwhm / 2.3548, f in 1/pixel."""
    s = fwhm / math.sqrt(8 * math.log(2))
    return torch.exp(-2 * math.pi**2 * s**2 * (fy[:, None] ** 2 + fx[None, :] ** 2))


def relative_kernel(psf: Tensor, target_fwhm: float) -> Tensor:
    """The kernel ``K`` with ``psf = K * target`` for a Gaussian target, on the stamp of ``psf``.

        K = P T / (T^2 + 10^-6)

    in Fourier space, on a grid three times the stamp, then cut to the stamp; of sum 1, so that flux
    is conserved. Only the middle of the PSF is divided: towards the edge of its stamp, where a cut
    would ring, `K` is the PSF itself, and what lies beyond goes there too. So the core keeps its
    share of the light, and the photometry its zero point.

    Args:
        psf: real ``(..., y, x)`` with odd sides, centred, of any positive sum.
        target_fwhm: in pixels; 0 is a point, for which ``K`` is the PSF itself.

    Raises:
        ShapeError: an even side. OptionError: a negative width.
        DataError: a PSF narrower than the target in some direction; the message has a width that
            does.
    """
    _check(psf, target_fwhm)
    if target_fwhm == 0:
        return psf / psf.sum(dim=(-2, -1), keepdim=True)
    ratio = _ratio(psf, target_fwhm)
    if float(ratio.abs().max()) > LARGEST_GAIN:
        raise DataError(
            f"the PSF is narrower than the target of FWHM {target_fwhm:.3g} pixels in some "
            f"direction: give target={largest_target(psf, target_fwhm):.2f} or less"
        )
    unit = psf.double() / psf.double().sum(dim=(-2, -1), keepdim=True)
    kernel = _on_stamp(ratio, unit)
    return (kernel / kernel.sum(dim=(-2, -1), keepdim=True)).to(psf.dtype)


def relative_basis(basis: Tensor, target_fwhm: float) -> Tensor:
    """The filter of `relative_kernel` on each image of a sum, which need not be PSFs by themselves.

    Linear in ``basis (k, y, x)``, hence not normalised: of ``sum_k a_k p_k`` the kernel is
    ``sum_k a_k K_k``, but for its sum.

    Raises ShapeError for an even side, OptionError for a negative width.
    """
    _check(basis, target_fwhm)
    if target_fwhm == 0:
        return basis
    return _on_stamp(_filtered(_middle(basis), target_fwhm), basis.double()).to(basis.dtype)


def largest_target(psf: Tensor, at_most: float) -> float:
    """The largest width of a target that `relative_kernel` takes, to 1/100 pixel downwards.

    Every PSF of ``psf`` must be wider; 0 where none is.
    """
    _check(psf, at_most)
    low, high = 0, math.floor(100 * at_most)
    while low < high:
        middle = (low + high + 1) // 2
        if float(_ratio(psf, middle / 100).abs().max()) <= LARGEST_GAIN:
            low = middle
        else:
            high = middle - 1
    return low / 100


def gaussian_psf(fwhm: float, dtype: torch.dtype = torch.float32) -> Tensor:
    """A Gaussian ``(y, x)`` of sum 1, cut at 2.5 FWHM, sampled at the centres of the pixels.

    Raises OptionError unless the width is above zero.
    """
    if not fwhm > 0:
        raise OptionError(f"a PSF has a FWHM above 0 pixels, got {fwhm}: give its width")
    squared = radius_squared(math.ceil(2.5 * fwhm))
    psf = torch.exp(-4 * math.log(2) * squared / fwhm**2)
    return (psf / psf.sum()).to(dtype)


def radius_squared(radius: int) -> Tensor:
    """Squared distance from the middle of a stamp of side ``2 radius + 1``, in pixels."""
    axis = torch.arange(-radius, radius + 1, dtype=torch.float64)
    return axis[:, None] ** 2 + axis[None, :] ** 2


def _ratio(psf: Tensor, target_fwhm: float) -> Tensor:
    """``P T / (T^2 + DAMPING)`` on the large grid, of the middle of the PSF of sum 1."""
    return _filtered(_middle(psf) / psf.double().sum(dim=(-2, -1), keepdim=True), target_fwhm)


def _filtered(stamp: Tensor, target_fwhm: float) -> Tensor:
    height, width = stamp.shape[-2:]
    fy, fx = (
        torch.fft.fftfreq(3 * n, dtype=torch.float64).to(stamp.device) for n in (height, width)
    )
    target = gaussian_transfer(target_fwhm, fy, fx)
    spectrum: Tensor = torch.fft.fft2(stamp, s=(3 * height, 3 * width))
    return spectrum * target / (target**2 + DAMPING)


def _on_stamp(spectrum: Tensor, psf: Tensor) -> Tensor:
    """The kernel of a spectrum on the stamp of the PSF, with the PSF's own edge and of its sum."""
    height, width = psf.shape[-2:]
    divided: Tensor = torch.fft.ifft2(spectrum).real[..., :height, :width]
    kernel = divided + psf - _middle(psf)  # the edge is too smooth for a narrow target to matter
    edge = 1 - _middle(torch.ones_like(psf))
    share = edge / edge.sum(dim=(-2, -1), keepdim=True).clamp_min(1e-12)
    beyond = (psf - kernel).sum(dim=(-2, -1), keepdim=True)
    return kernel + beyond * share


def _middle(psf: Tensor) -> Tensor:
    rows, columns = (_taper(side).to(psf.device) for side in psf.shape[-2:])
    return psf.double() * rows[:, None] * columns[None, :]


def _taper(side: int) -> Tensor:
    """One, and over the outer eighth falling smoothly to zero: a cut would ring when divided."""
    ramp = torch.linspace(-1, 1, side, dtype=torch.float64).abs() if side > 1 else torch.zeros(1)
    return torch.cos(((ramp - 0.875) / 0.125).clamp_min(0) * math.pi / 2) ** 2


def _check(psf: Tensor, target_fwhm: float) -> None:
    if psf.ndim < 2 or psf.shape[-2] % 2 == 0 or psf.shape[-1] % 2 == 0:
        raise ShapeError(
            f"a PSF of {tuple(psf.shape)} pixels came: give (..., y, x) with odd sides, so that "
            "one pixel is the middle"
        )
    if not (math.isfinite(target_fwhm) and target_fwhm >= 0):
        raise OptionError(
            f"the target has FWHM {target_fwhm}: give pixels, or 0 to deconvolve to points"
        )
