"""Wiener deconvolution: the best linear estimate under a stationary prior."""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError, ShapeError


def wiener(
    image: Tensor,
    psf: Tensor,
    noise_to_signal: float | Tensor,
    *,
    slope: float = 0.0,
    boundary: str = "reflect",
) -> Tensor:
    """Deconvolve by ``X(f) = conj(H) Y / (|H|^2 + N/S(f))`` with ``S(f) ~ |f|^-slope``.

    ``slope = 0`` is the constant noise-to-signal ratio; ``slope = 2`` is the power spectrum of
    photographs and of smooth skies (a squared-gradient penalty). The ratio ``N/S`` equals
    ``noise_to_signal`` at 0.5 cycles per pixel: ``N/S(f) = noise_to_signal (2 |f|)^slope``.

    Args:
        image: real ``(..., y, x)``, finite everywhere.
        psf: real ``(..., v, u)``, odd sizes, its centre in the middle, not larger than the image;
            leading axes broadcast against those of ``image``.
        noise_to_signal: noise power over signal power, above zero; a number, or one per batch item
            broadcastable to the leading axes.
        slope: exponent of the prior's power spectrum, 0 or more.
        boundary: ``"reflect"`` (the image is mirrored at its edges) or ``"circular"``.

    Returns:
        The estimate, shaped as ``image``.

    Raises:
        ShapeError: an even PSF, or one larger than the image.
        DataError: NaN, or a ratio that is not above zero.
        OptionError: an unknown boundary, or a negative slope.

    Source: Wiener (1949); Gonzalez & Woods, Digital Image Processing, 5.8. Tune the ratio
    where the truth is known with `rimaging.solvers.tuning.tune`.
    """
    if boundary not in ("reflect", "circular"):
        raise OptionError(f"wiener got boundary={boundary!r}: use 'reflect' or 'circular'")
    if slope < 0:
        raise OptionError(f"wiener got slope={slope}: a power spectrum falls, use 0 or more")
    size = psf.shape[-2:]
    if any(n % 2 == 0 for n in size) or any(
        p > n for p, n in zip(size, image.shape[-2:], strict=True)
    ):
        raise ShapeError(
            f"wiener needs a PSF of odd size that fits the image {tuple(image.shape[-2:])}, "
            f"got {tuple(size)}: pad it to odd, or crop it"
        )
    ratio = torch.as_tensor(noise_to_signal, dtype=image.dtype, device=image.device)
    if not bool((ratio > 0).all()):
        raise DataError(f"wiener got noise_to_signal={noise_to_signal}: it must be above zero")
    if not bool(torch.isfinite(image).all()):
        raise DataError("wiener got an image with NaN or infinity: fill masked pixels first")

    rows, columns = image.shape[-2:]
    if boundary == "reflect":
        # Mirrored in both axes the image is continuous on the torus, so no jump rings.
        image = torch.cat([image, image.flip(-1)], dim=-1)
        image = torch.cat([image, image.flip(-2)], dim=-2)
    shape = (image.shape[-2], image.shape[-1])
    transfer = torch.fft.rfft2(_centred_at_origin(psf.to(image.dtype), shape))
    frequency = torch.hypot(
        torch.fft.fftfreq(shape[0], dtype=image.dtype, device=image.device)[:, None],
        torch.fft.rfftfreq(shape[1], dtype=image.dtype, device=image.device),
    )
    prior = ratio[..., None, None] * (2 * frequency) ** slope
    power = transfer.real**2 + transfer.imag**2
    # With a slope the ratio is zero at f = 0; a PSF without flux would then divide zero by zero.
    gain = transfer.conj() / (power + prior).clamp_min(torch.finfo(image.dtype).tiny)
    estimate: Tensor = torch.fft.irfft2(gain * torch.fft.rfft2(image), s=shape)
    return estimate[..., :rows, :columns]


def _centred_at_origin(psf: Tensor, shape: tuple[int, int]) -> Tensor:
    """Zero-pad to ``shape`` with the centre of the PSF at index (0, 0)."""
    height, width = psf.shape[-2:]
    padded = torch.nn.functional.pad(psf, (0, shape[1] - width, 0, shape[0] - height))
    return torch.roll(padded, (-(height // 2), -(width // 2)), dims=(-2, -1))
