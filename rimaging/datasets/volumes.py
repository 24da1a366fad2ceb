"""Volumes of k-space as stacks of slices that can be reconstructed one by one."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from rimaging.operators.fourier import centred_fft, centred_ifft

__all__ = ["crop_readout", "middle_of", "split_axis", "to_slices"]


def split_axis(mask: Tensor) -> Literal["z", "x"]:
    """The axis to split a volume along: "z" where no partition was left out, else the readout.

    ``mask`` is (..., z, y, x); what is 0 was not measured.
    """
    return "z" if bool((mask == mask.narrow(-3, 0, 1)).all()) else "x"


def to_slices(kspace: Tensor, axis: Literal["z", "x"]) -> Tensor:
    """Split k-space (..., coil, z, y, x) along an axis that was fully sampled.

    The inverse transform along that axis leaves slices that are independent of each other: for
    "z" (..., slice, coil, y, x), for "x" (..., slice, coil, z, y).
    """
    along = -3 if axis == "z" else -1
    return centred_ifft(kspace, (along,)).movedim(along, -4).contiguous()


def crop_readout(kspace: Tensor, keep: int) -> Tensor:
    """Remove the oversampling of readouts (..., x): ``F_keep C F*``, C the crop to the middle.

    The field of view shrinks, voxels and the scale of the image stay. Orthonormal, so white noise
    keeps its sigma.
    """
    cropped = kspace.new_empty((*kspace.shape[:-1], keep))
    # one leading item at a time: volumes are large
    flat, out = kspace.reshape(-1, *kspace.shape[-2:]), cropped.view(-1, kspace.shape[-2], keep)
    for part, target in zip(flat.split(64), out.split(64), strict=True):
        target.copy_(centred_fft(middle_of(centred_ifft(part, (-1,)), keep, -1), (-1,)))
    return cropped


def middle_of(tensor: Tensor, keep: int, axis: int) -> Tensor:
    """Crop an axis of ``n`` to ``keep`` around the index ``n // 2``, the centre of the FFT."""
    return tensor.narrow(axis, tensor.shape[axis] // 2 - keep // 2, keep)
