"""ESPIRiT: coil sensitivities from the fully sampled middle of k-space.

All k x k patches of the calibration region lie in a small subspace, spanned by its signal kernels
K_j. At a pixel r the coil sensitivities are the eigenvector, to the eigenvalue 1, of

    G(r) = 1/k^2 sum_j K_j(r) K_j(r)^H,   K_j(r) = sum_p K_j(p) exp(2 pi i p . r / N).

G needs only the autocorrelation of the kernels, (2k-1)^2 small matrices whatever the size of the
image: see eigenmaps.py for why that makes it fast.

Source: Uecker et al., "ESPIRiT: an eigenvalue approach to autocalibrating parallel MRI", Magnetic
Resonance in Medicine 71 (2014) 990-1001.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.band_limited import BandLimitedField
from rimaging.operators.calibration import calibration_block
from rimaging.operators.eigenmaps import eigenmaps

__all__ = ["espirit", "espirit_with_eigenvalues", "kernel_side"]


def espirit(
    kspace: Tensor,
    mask: Tensor | None = None,
    *,
    calibration: int | tuple[int, int] = 24,
    kernel: int | None = 6,
    threshold: float = 0.02,
    crop: float = 0.95,
    sets: int = 1,
    tolerance: float = 1e-4,
) -> Tensor:
    """Estimate coil sensitivity maps from k-space (..., coil, y, x).

        G(r) S(r) = lambda(r) S(r),   sum_c |S_c(r)|^2 = 1,   S = 0 where lambda <= crop

    Args:
        kspace: complex, zero frequency at (y // 2, x // 2), zero where not measured. For 3-D data,
            apply the inverse FFT along the fully sampled readout first; its slices are a batch.
        mask: (..., y, x), where k-space was measured; by default wherever any coil is not zero.
        calibration: an int finds the largest centred, fully sampled block, at most so wide; a pair
            (height, width) takes exactly that block.
        kernel: side k of the kernels, in samples; None: 6, but less for a small region
            (`kernel_side`).
        threshold: singular values below this part of the largest are noise.
        crop: maps are zero where the eigenvalue does not exceed it.
        sets: 1, or 2 for an object larger than the field of view, where a pixel shows two places;
            the larger eigenvalue comes first.
        tolerance: estimated error |S - exact S| that interpolation may make at a pixel, up to
            1e-3, beyond which the estimate fails; 0 decomposes each pixel by itself, much slower.

    Returns:
        Maps (..., coil, y, x), or (..., set, coil, y, x) with two sets. The phase of a map is free
        in theory; here the first principal virtual coil u sees every pixel with phase zero,
        sum_c conj(u_c) S_c(r) >= 0: u is the strongest combination of coils in the calibration
        region, with its largest entry real. That is smooth where a single coil, the usual
        reference, has no signal.

    Raises:
        ShapeError: k-space without a coil axis, a mask or a calibration region that does not fit.
        DataError: not complex; nothing, or NaN, in the middle; no block as large as the kernel.
        OptionError: sets other than 1 and 2, tolerance outside 0..1e-3.

    """
    return espirit_with_eigenvalues(
        kspace,
        mask,
        calibration=calibration,
        kernel=kernel,
        threshold=threshold,
        crop=crop,
        sets=sets,
        tolerance=tolerance,
    )[0]


@torch.no_grad()
def espirit_with_eigenvalues(
    kspace: Tensor,
    mask: Tensor | None = None,
    *,
    calibration: int | tuple[int, int] = 24,
    kernel: int | None = 6,
    threshold: float = 0.02,
    crop: float = 0.95,
    sets: int = 1,
    tolerance: float = 1e-4,
) -> tuple[Tensor, Tensor]:
    """Estimate maps as `espirit` does, and return the eigenvalues lambda beside them.

    Eigenvalues (..., y, x), or (..., set, y, x) with two sets, lie in 0..1 and tell how well one
    map explains a pixel. Far below `crop` they are interpolated and rough, unless tolerance = 0.
    """
    if kspace.ndim < 3 or not kspace.is_complex():
        kind = DataError if kspace.ndim >= 3 else ShapeError
        raise kind(
            f"ESPIRiT expects complex k-space (..., coil, y, x), got {kspace.dtype} "
            f"{tuple(kspace.shape)}: pass the multi-coil k-space."
        )
    if sets not in (1, 2):
        raise OptionError(f"ESPIRiT has sets=1 or sets=2, got {sets}: choose one of them.")
    if not 0 <= tolerance <= 1e-3:
        raise OptionError(
            f"ESPIRiT has a tolerance of 0 to 0.001, got {tolerance}: choose one between."
        )
    coils, ny, nx = kspace.shape[-3:]
    if coils < sets:
        raise ShapeError(
            f"ESPIRiT with two sets expects two coils or more, got {coils}: use sets=1."
        )
    batch = kspace.shape[:-3]
    if mask is not None:
        mask = _broadcast(mask, (*batch, ny, nx)).reshape(-1, ny, nx)
    maps, eigenvalues = [], []
    # Each item has its own calibration region and eigenvectors; nothing is shared between items.
    for i, item in enumerate(kspace.reshape(-1, coils, ny, nx)):
        block = calibration_block(item, None if mask is None else mask[i], calibration)
        side = kernel_side(min(block.shape[-2:])) if kernel is None else kernel
        if min(block.shape[-2:]) < side:
            raise DataError(
                f"The calibration region is {tuple(block.shape[-2:])}, but kernel={side} needs "
                f"({side}, {side}) or more: give a smaller kernel, or the maps themselves."
            )
        # Double precision costs little here, and the threshold acts on squared singular values.
        block = block.to(torch.complex128)
        lags = _autocorrelation(_signal_kernels(block, side, threshold)).to(kspace.dtype)
        vectors, values = eigenmaps(BandLimitedField(lags, (ny, nx)), sets, crop, tolerance)
        maps.append(_normalised(vectors, values > crop, _virtual_coil(block).to(kspace.dtype)))
        eigenvalues.append(values)
    set_axis = (sets,) if sets == 2 else ()
    return (
        torch.stack(maps).reshape(*batch, *set_axis, coils, ny, nx),
        torch.stack(eigenvalues).reshape(*batch, *set_axis, ny, nx),
    )


def kernel_side(width: int) -> int:
    """The side of kernels that a calibration region of this least width has enough patches for.

    Patches as wide as the region span too little of the subspace, and eigenvalues stay below one:
    with kernels of 6 half of a real head has no maps from 24 x 8 samples, with kernels of 3 all
    has.
    """
    return 6 if width > 9 else 4 if width > 8 else 3


def _broadcast(mask: Tensor, shape: tuple[int, ...]) -> Tensor:
    try:
        return mask.broadcast_to(shape)
    except RuntimeError as error:
        raise ShapeError(
            f"ESPIRiT expects a mask {shape}, got {tuple(mask.shape)}: "
            "give the mask of this k-space."
        ) from error


def _normalised(vectors: Tensor, kept: Tensor, coil: Tensor) -> Tensor:
    """Give vectors (set, coil, y, x) unit length and the phase that `coil` (coil,) sees as zero."""
    seen = torch.einsum("c,scyx->syx", coil.conj(), vectors)
    length = torch.view_as_real(vectors).square().sum(1).sum(-1).sqrt() * seen.abs()
    return vectors * torch.where(kept & (length > 0), seen.conj() / length, 0)[:, None]


def _signal_kernels(block: Tensor, kernel: int, threshold: float) -> Tensor:
    """Orthonormal kernels (n, coil, k, k) that span the patches of a block (coil, y, x).

    They are the right singular vectors of the calibration matrix (patch, coil k k), from the
    smaller of its two Gram matrices.
    """
    coils = block.shape[0]
    patches = block.unfold(1, kernel, 1).unfold(2, kernel, 1).permute(1, 2, 0, 3, 4).flatten(0, 1)
    matrix = patches.flatten(1)
    wide = matrix.shape[0] < matrix.shape[1]
    energy, vectors = torch.linalg.eigh(matrix @ matrix.mH if wide else matrix.mH @ matrix)
    signal = energy > threshold**2 * energy[-1]
    vectors = vectors[:, signal]
    if wide:
        vectors = matrix.mH @ (vectors / energy[signal].sqrt())
    kernels: Tensor = vectors.mH.reshape(-1, coils, kernel, kernel)
    return kernels


def _autocorrelation(kernels: Tensor) -> Tensor:
    """L(lag) = 1/k^2 sum_j sum_p K_j(p + lag) K_j(p)^H: (2k-1, 2k-1, coil, coil), lag 0 centred."""
    side = kernels.shape[-1]
    spectrum = torch.fft.fft2(kernels, s=(2 * side - 1, 2 * side - 1)).permute(2, 3, 1, 0)
    power = spectrum @ spectrum.mH / side**2
    lags: Tensor = torch.fft.fftshift(torch.fft.ifft2(power, dim=(0, 1)), dim=(0, 1))
    return lags


def _virtual_coil(block: Tensor) -> Tensor:
    """Return the principal virtual coil (coil,) of a block (coil, y, x), its largest entry real."""
    samples = block.flatten(1)
    coil: Tensor = torch.linalg.eigh(samples @ samples.mH)[1][:, -1]
    largest = coil[coil.abs().argmax()]
    return coil * largest.conj() / largest.abs()
