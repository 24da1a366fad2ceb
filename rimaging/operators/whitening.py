"""Prewhitening: the noise of receiver coils made independent and of unit scale.

Convention of the house: ``sigma`` is the standard deviation of one real component, so the
covariance here is ``Psi = E[n n^H] / 2``, with ``sigma_c^2`` on its diagonal. Whitened noise has
``sigma = 1`` in every coil: ``E[(W n)(W n)^H] = 2 I``.

Source: Pruessmann et al., Magn. Reson. Med. 46 (2001) 638, appendix; Kellman and McVeigh, Magn.
Reson. Med. 54 (2005) 1439.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.errors import DataError, ShapeError

__all__ = ["noise_covariance", "whiten", "whitening_matrix"]


def noise_covariance(samples: Tensor) -> Tensor:
    """Covariance ``Psi = sum_i n_i n_i^H / (2 n)`` of a noise scan, in complex128.

    Args:
        samples: complex ``(coil, n)``, noise alone, of the bandwidth (dwell time) of the scan.

    Returns:
        Hermitian ``(coil, coil)``; the diagonal is ``sigma^2`` of one real component.

    Raises:
        ShapeError: not two axes. DataError: not complex, not finite, or not more samples than
        coils, so that the covariance could not be inverted.
    """
    if samples.ndim != 2:
        raise ShapeError(
            f"noise_covariance expects samples (coil, n), got {tuple(samples.shape)}: "
            "put the coils first and join all other axes"
        )
    if not samples.is_complex():
        raise DataError(
            f"noise_covariance expects complex samples, got {samples.dtype}: "
            "join real and imaginary parts with torch.view_as_complex"
        )
    coils, count = samples.shape
    if count <= coils:
        raise DataError(
            f"the noise scan has {count} samples for {coils} coils, expected more samples than "
            "coils: give the whole noise scan, with coils as the first axis"
        )
    if not bool(torch.isfinite(torch.view_as_real(samples)).all()):
        raise DataError("the noise scan has NaN or infinite samples: leave those readouts out")
    wide = samples.to(torch.complex128)
    covariance = wide @ wide.mH / (2 * count)
    # a matrix product need not round both triangles alike; some CPUs do not
    return (covariance + covariance.mH) / 2


def whitening_matrix(covariance: Tensor) -> Tensor:
    """The matrix ``W = L^-1`` with ``Psi = L L^H`` (Cholesky), so that ``W Psi W^H = I``.

    Lower triangular: virtual coil ``c`` is made of coils ``0 ... c``, the first is a real multiple
    of coil 0.

    Args:
        covariance: Hermitian ``(coil, coil)`` of one real component, see `noise_covariance`.

    Raises:
        ShapeError: not a square matrix. DataError: not Hermitian and positive, as when a coil is
        dead or is the sum of others.
    """
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1]:
        raise ShapeError(
            f"whitening_matrix expects a covariance (coil, coil), got {tuple(covariance.shape)}: "
            "make it with noise_covariance"
        )
    wide = covariance.to(torch.complex128)
    scale = wide.diagonal().real
    if not bool(torch.isfinite(torch.view_as_real(wide)).all()) or not bool((scale > 0).all()):
        raise DataError(
            "the noise covariance has a coil without noise, or values that are not finite: "
            "leave that coil out of noise scan and k-space"
        )
    if not torch.allclose(wide, wide.mH, rtol=1e-5, atol=1e-6 * float(scale.max())):
        raise DataError("the noise covariance is not Hermitian: make it with noise_covariance")
    # Coils of very different gain are no reason to fail: judge the correlation alone.
    root = scale.sqrt()
    factor, failed = torch.linalg.cholesky_ex(wide / (root[:, None] * root))
    if int(failed) or float(factor.diagonal().real.min()) < 1e-6:
        raise DataError(
            "the noise covariance is singular, one coil is a sum of others: compress the coils "
            "first, or leave that coil out of noise scan and k-space"
        )
    lower = root[:, None] * factor
    eye = torch.eye(lower.shape[0], dtype=lower.dtype, device=lower.device)
    inverse: Tensor = torch.linalg.solve_triangular(lower, eye, upper=False)
    return inverse


def whiten(kspace: Tensor, matrix: Tensor, axis: int = -3) -> Tensor:
    """Mix the coils, ``y'_c = sum_d W_cd y_d``; afterwards ``sigma = 1`` per real component.

    Works on k-space, on coil images and on coil maps alike (``W`` commutes with the Fourier
    transform and the mask); maps must be mixed where k-space is.

    Args:
        kspace: complex, coils along ``axis``, by default ``(..., coil, y, x)``.
        matrix: ``(virtual, coil)``, see `whitening_matrix`.
        axis: of the coils.

    Returns:
        As ``kspace``, of its dtype, ``virtual`` long along ``axis``.

    Raises:
        ShapeError: a matrix for another number of coils.
    """
    if not -kspace.ndim <= axis < kspace.ndim or matrix.shape[-1] != kspace.shape[axis]:
        raise ShapeError(
            f"the matrix {tuple(matrix.shape)} does not fit the coil axis {axis} of "
            f"{tuple(kspace.shape)}: give the matrix of these coils, or another axis"
        )
    mixed: Tensor = torch.tensordot(matrix.to(kspace), kspace, dims=([1], [axis]))
    return mixed.movedim(0, axis).contiguous()
