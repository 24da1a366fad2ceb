"""Adaptive combination: coil sensitivities from the local covariance of coil images.

Where an image is locally of one phase, ``R(r) = sum_{q near r} z(q) z(q)^H`` of the coil images
``z`` has rank one, and its leading eigenvector is the sensitivity at ``r``. Quicker than ESPIRiT
and needs no calibration kernels, but trusts that coil images show the object without aliasing.

Source: Walsh, Gmitro and Marcellin, Magn. Reson. Med. 43 (2000) 682.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor

from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.calibration import calibration_block
from rimaging.operators.coil_compression import svd_compression
from rimaging.operators.fourier import centred_ifft

__all__ = ["walsh", "walsh_from_kspace"]


def walsh(coils: Tensor, *, window: int = 7, iterations: int = 20) -> Tensor:
    """Maps ``(..., coil, y, x)`` from coil images of the same shape, ``sum_c |S_c|^2 = 1``.

    The leading eigenvector by power iterations from the strongest coil's column. Its phase is that
    which the principal virtual coil of the item sees as zero, as `espirit` has it.

    Args:
        coils: complex coil images without aliasing, best with white noise of one scale.
        window: side of the square over which the covariance is summed, odd, in pixels.
        iterations: of the power method; the error shrinks by the ratio of the two leading
            eigenvalues in each.

    Raises:
        ShapeError: no coil axis. DataError: not complex, or zero everywhere. OptionError: a window
        that is even or below 1, no iteration.
    """
    if coils.ndim < 3:
        raise ShapeError(
            f"walsh expects coil images (..., coil, y, x), got {tuple(coils.shape)}: add the axis"
        )
    if not coils.is_complex():
        raise DataError(f"walsh expects complex coil images, got {coils.dtype}: magnitudes lack it")
    if window < 1 or window % 2 == 0 or iterations < 1:
        raise OptionError(
            f"walsh got window={window} and iterations={iterations}: the window is odd, both >= 1"
        )
    items = coils.reshape(-1, *coils.shape[-3:])
    return torch.stack([_of_item(item, window, iterations) for item in items]).reshape(coils.shape)


def walsh_from_kspace(
    kspace: Tensor,
    mask: Tensor | None = None,
    *,
    calibration: int = 24,
    window: int = 7,
    iterations: int = 20,
) -> Tensor:
    """Maps ``(..., coil, y, x)`` from the fully sampled centre of k-space: `walsh` of its images.

    The centre is weighted with a Hann window against ringing. Arguments as `espirit` and `walsh`.

    Raises as `walsh`; DataError where the centre was not measured.
    """
    size = kspace.shape[-2:]
    items = kspace.reshape(-1, *kspace.shape[-3:])
    masks = None if mask is None else mask.expand(*kspace.shape[:-3], *size).reshape(-1, *size)
    low = torch.zeros_like(items)
    for i, item in enumerate(items):
        block = calibration_block(item, None if masks is None else masks[i], calibration)
        height, width = block.shape[-2:]
        top, left = size[0] // 2 - height // 2, size[1] // 2 - width // 2
        weight = hann(height, block)[:, None] * hann(width, block)
        low[i, :, top : top + height, left : left + width] = block * weight
    return walsh(centred_ifft(low).reshape(kspace.shape), window=window, iterations=iterations)


def hann(size: int, like: Tensor) -> Tensor:
    """A Hann window of ``size`` samples around index ``size // 2``, zero just outside."""
    offset = torch.arange(size, device=like.device, dtype=like.real.dtype) - size // 2
    return 0.5 + 0.5 * torch.cos(2 * torch.pi * offset / (size + 1))


def _of_item(coils: Tensor, window: int, iterations: int) -> Tensor:
    count = coils.shape[0]
    # (coil coil, y, x): one row of the covariance after the other would not be quicker
    covariance = (coils[:, None] * coils.conj()).flatten(0, 1)
    parts = torch.cat([covariance.real, covariance.imag])[:, None]
    summed = functional.avg_pool2d(parts, window, 1, window // 2)[:, 0]
    covariance = torch.complex(summed[: count**2], summed[count**2 :])
    covariance = covariance.reshape(count, count, *coils.shape[-2:]).permute(2, 3, 0, 1)
    strongest = covariance.diagonal(dim1=-2, dim2=-1).real.sum(dim=(0, 1)).argmax()
    power = covariance.diagonal(dim1=-2, dim2=-1).real.sum(dim=-1)
    tiny = torch.finfo(power.dtype).tiny
    matrices = covariance / power.clamp_min(tiny)[..., None, None]
    # the strongest coil, and a little of all where it sees nothing
    vector = matrices[..., strongest] + 1e-3 * matrices.sum(dim=-1)
    for _ in range(iterations):
        vector = (matrices @ vector[..., None])[..., 0]
        vector = vector / torch.linalg.vector_norm(vector, dim=-1, keepdim=True).clamp_min(tiny)
    maps = vector.movedim(-1, 0)
    seen = torch.einsum("c,cyx->yx", svd_compression(coils, 1)[0], maps)
    length = seen.abs()
    return maps * torch.where(length > 0, seen.conj() / length.clamp_min(tiny), 1)
