"""Coil compression: many receiver coils as a few virtual ones that keep nearly all signal.

A matrix ``A`` with orthonormal rows mixes coils, ``y'_v = sum_c A_vc y_c``: white noise stays
white and of its scale (whiten first, see whitening.py). One matrix serves all of k-space (SVD);
or, where the readout is fully sampled, one for each position along it (geometric), aligned so that
virtual coils vary smoothly. The same matrices compress coil maps.

Source: Buehrer et al., Magn. Reson. Med. 57 (2007) 1131 (SVD); Zhang et al., Magn. Reson. Med. 69
(2013) 571 (geometric, alignment).
"""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.fourier import centred_fft, centred_ifft

__all__ = [
    "compress_kspace",
    "compress_maps",
    "energy_kept",
    "geometric_compression",
    "svd_compression",
]

NEIGHBOURS = 2
"""Positions on either side that share their samples with a readout position."""


def svd_compression(calibration: Tensor, coils: int) -> Tensor:
    """The ``coils`` strongest virtual coils of all samples: matrix ``(virtual, coil)``.

    Rows are the leading left singular vectors of the samples ``(coil, n)``, conjugated, the
    strongest first, the largest entry of each real and positive.

    Args:
        calibration: complex k-space or coil images ``(..., coil, y, x)``; zeros add nothing, so an
            undersampled scan does as it is.
        coils: how many to keep, at most as many as there are.

    Raises:
        ShapeError: no coil axis. DataError: nothing but zeros, or NaN. OptionError: ``coils``
        outside 1 ... coil.
    """
    samples = _samples(calibration, coils).flatten(1)
    return _leading(samples @ samples.mH, coils).to(calibration.dtype)


def geometric_compression(calibration: Tensor, coils: int, readout: int) -> Tensor:
    """Virtual coils of each position along the readout: matrices ``(position, virtual, coil)``.

    Neighbouring matrices span spaces alike but in any rotation; from the strongest position
    outwards, ``A_x`` becomes ``V U^H A_x`` where ``A_x A_x-1^H = U S V^H``, the rotation closest to
    the one before, so that virtual coil images have no jumps.

    Args:
        calibration: complex k-space ``(..., coil, y, x)``, zero where not measured.
        coils: how many to keep.
        readout: the fully sampled axis, -2 or -1.

    Raises:
        ShapeError, DataError, OptionError: as `svd_compression`; or another axis.
    """
    _check_axis(readout)
    hybrid = centred_ifft(_samples(calibration, coils), (readout,)).movedim(readout, 0)
    own = hybrid.flatten(2)
    gram = own @ own.mH
    shared = gram.clone()
    for shift in range(1, NEIGHBOURS + 1):
        shared[shift:] += gram[:-shift]
        shared[:-shift] += gram[shift:]
    matrices = torch.stack([_leading(one, coils) for one in shared])
    start = int(gram.diagonal(dim1=-2, dim2=-1).real.sum(dim=-1).argmax())
    for order in (range(start + 1, len(matrices)), range(start - 1, -1, -1)):
        previous = matrices[start]
        for position in order:
            u, _, vh = torch.linalg.svd(matrices[position] @ previous.mH)
            previous = (u @ vh).mH @ matrices[position]
            matrices[position] = previous
    return matrices.to(calibration.dtype)


def compress_kspace(kspace: Tensor, matrices: Tensor, readout: int = -2) -> Tensor:
    """Mix the coils of k-space ``(..., coil, y, x)`` to ``(..., virtual, y, x)``.

    Matrices of each position act between a Fourier transform along ``readout`` and back.

    Raises ShapeError for matrices of other coils, or of a readout of another length.
    """
    if matrices.ndim == 2:
        return compress_maps(kspace, matrices, readout)
    _check_axis(readout)
    hybrid = centred_ifft(kspace, (readout,))
    return centred_fft(compress_maps(hybrid, matrices, readout), (readout,))


def compress_maps(maps: Tensor, matrices: Tensor, readout: int = -2) -> Tensor:
    """Mix the coils of maps or coil images ``(..., coil, y, x)`` to ``(..., virtual, y, x)``.

    Raises ShapeError for matrices of other coils, or of a readout of another length.
    """
    _check_axis(readout)
    length = maps.shape[readout] if matrices.ndim == 3 else None
    if (
        maps.ndim < 3
        or matrices.shape[-1] != maps.shape[-3]
        or length
        not in (
            None,
            matrices.shape[0],
        )
    ):
        raise ShapeError(
            f"compression matrices {tuple(matrices.shape)} do not fit {tuple(maps.shape)} along "
            f"axis {readout}: make them from this scan"
        )
    if length is None:
        return torch.einsum("vc,...cyx->...vyx", matrices, maps)
    along = "y" if readout == -2 else "x"
    return torch.einsum(f"{along}vc,...cyx->...vyx", matrices, maps)


def energy_kept(kspace: Tensor, matrices: Tensor, readout: int = -2) -> float:
    """Share of ``sum |y|^2`` that the virtual coils hold, 0 to 1."""
    whole = float(torch.linalg.vector_norm(kspace) ** 2)
    kept = float(torch.linalg.vector_norm(compress_kspace(kspace, matrices, readout)) ** 2)
    return kept / whole


def _samples(calibration: Tensor, coils: int) -> Tensor:
    """Samples ``(coil, batch, y, x)`` in complex128."""
    if calibration.ndim < 3 or not calibration.is_complex():
        raise ShapeError(
            f"coil compression expects complex k-space (..., coil, y, x), got {calibration.dtype} "
            f"{tuple(calibration.shape)}: add the coil axis"
        )
    count = calibration.shape[-3]
    if not 1 <= coils <= count:
        raise OptionError(f"{coils} virtual coils of {count}: ask for 1 to {count}")
    finite = bool(torch.isfinite(torch.view_as_real(calibration)).all())
    if not finite or not bool((calibration != 0).any()):
        raise DataError("the calibration is zero everywhere or not finite: give measured k-space")
    wide = calibration.to(torch.complex128)
    return wide.reshape(-1, *wide.shape[-3:]).movedim(1, 0)


def _leading(gram: Tensor, coils: int) -> Tensor:
    """Leading eigenvectors of ``(coil, coil)`` as rows ``(virtual, coil)``, conjugated."""
    rows: Tensor = torch.linalg.eigh(gram)[1].flip(-1)[:, :coils].mH
    largest = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True))
    return rows * largest.conj() / largest.abs()


def _check_axis(readout: int) -> None:
    if readout not in (-2, -1):
        raise OptionError(f"the readout axis is {readout}: use -2 for y, -1 for x")
