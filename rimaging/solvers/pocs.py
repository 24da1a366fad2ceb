"""Partial Fourier by projection onto convex sets: the missing side of k-space from smooth phase.

An image of known phase ``phi`` has the k-space of a real image, whose halves mirror each other.
``phi`` comes from the band around zero frequency that was measured on both sides. In turn, each
coil image is projected on this phase, ``x = max(0, Re(x exp(-i phi))) exp(i phi)``, and k-space
gets its measured samples back.

Source: Haacke, Lindskog and Lin, J. Magn. Reson. 92 (1991) 126; Cuppen and van Est, Magn. Reson.
Imaging 5 (1987) 526.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError
from rimaging.operators.fourier import centred_fft, centred_ifft
from rimaging.operators.walsh import hann
from rimaging.solvers.filling import each_filled
from rimaging.solvers.zero_filled import of_full_kspace

__all__ = ["fill_partial_fourier", "pocs"]


def pocs(
    kspace: Tensor,
    mask: Tensor,
    maps: Tensor | None = None,
    *,
    iterations: int = 3,
    sets: bool = False,
) -> Tensor:
    """The image of k-space completed by POCS (`of_full_kspace`), without maps the coils' RSS.

    Nothing is regularised but the phase: ``(c y)`` gives ``c x``.

    Args:
        kspace: complex ``(..., coil, y, x)``, full within a rectangle that holds zero frequency.
        mask: ``(..., y, x)``, 1 where measured.
        maps: complex ``(..., coil, y, x)``, or with ``sets`` ``(..., set, coil, y, x)``.
        iterations: more follow the assumed phase further, sharp jumps and noise included: a real
            head gained most from 2 to 5.
        sets: whether the maps carry a set axis.

    Returns:
        Complex ``(..., y, x)`` (with ``sets`` ``(..., set, y, x)``); without maps real.

    Raises:
        ShapeError: arrays that do not fit each other. OptionError: no iteration.
        DataError: samples missing inside the measured rectangle, or zero frequency outside it.
    """
    filled = fill_partial_fourier(kspace, mask, iterations=iterations)
    return of_full_kspace(filled, maps, sets=sets)


@torch.no_grad()
def fill_partial_fourier(kspace: Tensor, mask: Tensor, *, iterations: int = 3) -> Tensor:
    """K-space ``(..., coil, y, x)`` completed, its measured samples as they are.

    What lies beyond the measured extent on both sides (a lower resolution) stays zero. Arguments
    and errors as `pocs`.
    """
    if iterations < 1:
        raise OptionError(f"iterations is {iterations}: give one or more")
    return each_filled(kspace, mask, partial(_fill_item, iterations=iterations), "POCS")


def _fill_item(kspace: Tensor, measured: Tensor, iterations: int) -> Tensor:
    window, reach = torch.ones_like(kspace[0].real), torch.ones_like(measured)
    for axis in (0, 1):
        first, last = _extent(measured, axis)
        length = measured.shape[axis]
        centre = length // 2
        near = min(centre - first, last - centre)
        if near < 1:
            raise DataError(
                "zero frequency is not inside the measured part of k-space: POCS needs a band "
                "around it; shift k-space so that it is at n // 2"
            )
        offset = torch.arange(length, device=kspace.device) - centre
        # an even axis has one sample without a mirror image; the whole of it counts as two-sided
        whole = near == centre - 1 + length % 2
        far = length if whole else max(centre - first, last - centre)
        band = torch.zeros(length, dtype=window.dtype, device=kspace.device)
        band[centre - near : centre + near + 1] = 1 if whole else hann(2 * near + 1, window)
        shape = (-1, 1) if axis == 0 else (1, -1)
        window = window * band.reshape(shape)
        reach = reach & (offset.abs() <= far).reshape(shape)
    phase = torch.sgn(centred_ifft(kspace * window))
    back = phase.conj()
    filled = kspace
    for _ in range(iterations):
        image = (centred_ifft(filled) * back).real.clamp_min(0) * phase
        filled = torch.where(measured, kspace, centred_fft(image) * reach)
    return filled


def _extent(measured: Tensor, axis: int) -> tuple[int, int]:
    """First and last measured line of an axis; DataError where one between is missing."""
    rows, columns = measured.any(dim=1), measured.any(dim=0)
    if not torch.equal(measured, rows[:, None] & columns) or not bool(rows.any()):
        raise DataError("k-space was not measured on a rectangle: fill it by GRAPPA before POCS")
    lines = (rows if axis == 0 else columns).nonzero()[:, 0]
    first, last = int(lines[0]), int(lines[-1])
    if len(lines) != last - first + 1:
        raise DataError(
            "lines are missing inside the measured part of k-space: fill them by GRAPPA before POCS"
        )
    return first, last
