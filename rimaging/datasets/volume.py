"""Cartesian k-space in three dimensions as slices: a Fourier transform along the readout.

Where an axis was sampled fully, ``y(k_z, k_y, k_x)`` needs no inference along it: the inverse FFT
along that axis leaves independent problems in two dimensions. It is orthonormal, so the noise keeps
its scale and stays white.
"""

from __future__ import annotations

from torch import Tensor

from rimaging.errors import DataError, ShapeError
from rimaging.operators.fourier import centred_fft, centred_ifft

__all__ = ["from_slices", "maps_as_slices", "sampled_axis", "to_slices"]


def sampled_axis(mask: Tensor) -> int:
    """The axis, -3, -2 or -1, along which a mask ``(z, y, x)`` measures all or nothing.

    Where several do, the first that leaves undersampling to the others, so that slices are as
    usual. Raises DataError where none does.
    """
    measured = mask > 0
    for axis in (-3, -2, -1):
        if bool((measured.all(dim=axis) == measured.any(dim=axis)).all()):
            return axis
    raise DataError(
        "k-space is undersampled along all three axes, expected a fully sampled readout: fill a "
        "partial echo, or leave out what is beyond it"
    )


def to_slices(kspace: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, int]:
    """K-space ``(coil, z, y, x)`` as slices ``(slice, coil, a, b)``, their mask ``(a, b)``, axis.

    ``a`` and ``b`` are the two other axes, in order. ``mask``: ``(z, y, x)``, or what broadcasts to
    it; by default where any coil is not zero.

    Raises ShapeError for other axes, DataError as `sampled_axis` or for samples outside the mask.
    """
    if kspace.ndim != 4 or not kspace.is_complex():
        raise ShapeError(
            f"a volume is complex k-space (coil, z, y, x), got {kspace.dtype} "
            f"{tuple(kspace.shape)}: leave out volume=True for slices (slice, coil, y, x)"
        )
    size = tuple(kspace.shape[-3:])
    measured = (kspace != 0).any(dim=0)
    if mask is not None:
        try:
            given = (mask > 0).broadcast_to(size)
        except RuntimeError:
            raise ShapeError(
                f"the mask has shape {tuple(mask.shape)}, the volume {size}: give (z, y, x), "
                "(y, x) or (x,)"
            ) from None
        outside = int((measured & ~given).sum())
        if outside:
            raise DataError(
                f"k-space has {outside} samples where the mask is 0: multiply k-space by the mask, "
                "or give the mask it was taken with"
            )
        measured = given
    axis = sampled_axis(measured)
    slices = centred_ifft(kspace, (axis,)).movedim(axis, 0)
    return slices.contiguous(), measured.any(dim=axis).to(kspace.real.dtype), axis


def maps_as_slices(maps: Tensor, axis: int) -> Tensor:
    """Maps ``([set,] coil, z, y, x)`` as those of slices ``(slice, [set,] coil, a, b)``."""
    return maps.movedim(axis, 0)


def from_slices(slices: Tensor, axis: int, *, transform: bool = False) -> Tensor:
    """Slices ``(slice, ..., a, b)`` put back along ``axis``; k-space again with ``transform``."""
    volume = slices.movedim(0, axis)
    return centred_fft(volume, (axis,)) if transform else volume.contiguous()
