"""GRAPPA: missing samples of k-space as sums of measured neighbours in all coils.

Over the fully sampled centre, weights are learned that give a sample from its neighbours,

    w = argmin |P w - t|^2 + lambda |w|^2,   P: neighbours of each sample t of the centre,

one set for each local pattern of what was measured around a missing sample. Regular lines have a
few such patterns, Poisson discs about as many as samples; all come from one Gram matrix. Every
equation is divided by the rms of its window, or the few samples at zero frequency, a hundred times
stronger than the others, would decide alone.

Where the centre was not measured, or in a scan apart, coil maps teach the weights: in place of the
centre of k-space stands that of white images seen through them.

Source: Griswold et al., Magn. Reson. Med. 47 (2002) 1202; arbitrary patterns: Luo et al., Magn.
Reson. Med. 82 (2019) 1812.
"""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as functional
from torch import Tensor

from rimaging.errors import DataError, OptionError
from rimaging.operators.calibration import calibration_block, calibration_shape
from rimaging.operators.coils import expand_coils
from rimaging.operators.fourier import centred_fft
from rimaging.solvers.filling import each_filled
from rimaging.solvers.zero_filled import of_full_kspace

__all__ = ["fill_kspace", "grappa", "has_centre"]

ALONG = 2
"""Neighbours on either side along a fully sampled axis."""

WANTED = 6
"""Measured neighbours that a window holds on average, where both axes are undersampled."""

LARGEST = 96
"""Largest side of the calibration region that is used."""

LEAST = 3
"""Lines of the centre that it takes to learn from."""

ENTRIES = 1 << 22
"""Complex numbers held at once."""


def grappa(
    kspace: Tensor,
    mask: Tensor,
    maps: Tensor | None = None,
    *,
    damping: float = 0.03,
    sets: bool = False,
) -> Tensor:
    """The image of k-space filled by GRAPPA (`of_full_kspace`), without maps the coils' RSS.

    Args:
        kspace: complex ``(..., coil, y, x)``.
        mask: ``(..., y, x)``, 1 where measured.
        maps: complex ``(..., coil, y, x)``, or with ``sets`` ``(..., set, coil, y, x)``. They teach
            the weights where the centre has fewer than three lines.
        damping: ``lambda``, relative to the mean energy of a neighbour, so that ``(c y)`` gives
            ``c x``.
        sets: whether the maps carry a set axis.

    Returns:
        Complex ``(..., y, x)`` (with ``sets`` ``(..., set, y, x)``); without maps real.

    Raises:
        ShapeError: arrays that do not fit each other. DataError: no calibration region.
        OptionError: a negative damping.
    """
    taught = None if maps is None or has_centre(mask) else _seen_through(maps, sets)
    filled = fill_kspace(kspace, mask, damping=damping, taught=taught)
    return of_full_kspace(filled, maps, sets=sets)


def has_centre(mask: Tensor) -> bool:
    """Whether the centre of every mask ``(..., y, x)`` is wide enough for GRAPPA to learn from."""
    planes = mask.reshape(-1, *mask.shape[-2:])
    return min(min(calibration_shape(plane, LEAST)) for plane in planes) >= LEAST


@torch.no_grad()
def fill_kspace(
    kspace: Tensor, mask: Tensor, *, damping: float = 0.03, taught: Tensor | None = None
) -> Tensor:
    """Fill what is missing between the first and the last measured row and column.

    Measured samples stay as they are. A sample without any measured neighbour in the window stays
    zero: the window reaches over one gap, as far as the calibration region can teach it.

    Args, errors: as `grappa`. ``taught``: k-space ``(..., coil, y, x)`` with a measured centre, to
    learn from in place of that of the scan. Returns k-space ``(..., coil, y, x)``.
    """
    if not 0 <= damping < math.inf:
        raise OptionError(f"damping is {damping}: give zero or more")
    beside = () if taught is None else (taught,)
    return each_filled(kspace, mask, partial(_fill_item, damping=damping), "GRAPPA", *beside)


def _seen_through(maps: Tensor, sets: bool) -> Tensor:
    """K-space ``(..., coil, y, x)`` of white images, all of it measured."""
    images = (*maps.shape[:-3], *maps.shape[-2:])  # without the coils; sets stay
    generator = torch.Generator().manual_seed(0)
    white = torch.randn(images, generator=generator, dtype=maps.dtype).to(maps.device)
    return centred_fft(expand_coils(maps, white, sets, 2), (-2, -1))


def _fill_item(
    kspace: Tensor, measured: Tensor, taught: Tensor | None = None, *, damping: float
) -> Tensor:
    rows, columns = measured.any(dim=1).nonzero()[:, 0], measured.any(dim=0).nonzero()[:, 0]
    if not len(rows):
        raise DataError("the sampling mask is zero everywhere: expected at least one sample.")
    missing = ~measured
    missing[: rows[0]] = missing[rows[-1] + 1 :] = False
    missing[:, : columns[0]] = missing[:, columns[-1] + 1 :] = False
    y, x = missing.nonzero(as_tuple=True)
    if not len(y):
        return kspace
    source, known = (kspace, measured) if taught is None else (taught, None)
    block = calibration_block(source, known, LARGEST).to(torch.complex128)
    half = _window(measured, (rows, columns), block)
    side = (2 * half[0] + 1, 2 * half[1] + 1)
    gram = _gram(block, side)
    around = functional.pad(measured.to(torch.float32), (half[1], half[1], half[0], half[0]))
    pattern = around.unfold(0, side[0], 1).unfold(1, side[1], 1)[y, x].flatten(1) > 0
    patterns, of_sample = torch.unique(pattern, dim=0, return_inverse=True)
    padded = functional.pad(kspace, (half[1], half[1], half[0], half[0]))
    counts = patterns.sum(dim=1)
    filled = kspace.clone()
    for count in counts.unique().tolist():
        if not count:
            continue
        chosen = (counts == count).nonzero()[:, 0]
        at_once = max(1, ENTRIES // (count * len(kspace)) ** 2)
        for part in chosen.split(at_once):
            window = patterns[part].nonzero()[:, 1].view(len(part), count)
            weights = _weights(gram, window, side, damping).to(kspace.dtype)
            mine = torch.isin(of_sample, part).nonzero()[:, 0]
            own = torch.searchsorted(part, of_sample[mine])
            for some in torch.arange(len(mine), device=y.device).split(
                max(1, ENTRIES // weights[0].numel())
            ):
                which, row, column = own[some], y[mine[some]], x[mine[some]]
                dy = window[which] // side[1] + row[:, None]
                dx = window[which] % side[1] + column[:, None]
                seen = padded[:, dy, dx].permute(1, 0, 2).flatten(1)  # (sample, coil neighbour)
                filled[:, row, column] = torch.einsum("sn,snc->cs", seen, weights[which])
    return filled


def _window(measured: Tensor, lines: tuple[Tensor, Tensor], block: Tensor) -> tuple[int, int]:
    """How far the neighbours reach in y and x, within what the calibration region can teach."""
    # windows half as wide as the region: it must hold many of them
    room = [max((length - 1) // 4, min(1, (length - 1) // 2)) for length in block.shape[-2:]]
    box = measured[lines[0][0] : lines[0][-1] + 1, lines[1][0] : lines[1][-1] + 1]
    along_y = bool((box == box[:1]).all())  # lines along y: the mask varies along x alone
    along_x = bool((box == box[:, :1]).all())
    if along_x or along_y:
        axis = 1 if along_y else 0
        gap = int(lines[axis].diff().max())
        half = [min(ALONG, r) for r in room]
        half[axis] = min(max(gap - 1, 1), room[axis])
        reach = half[axis]
    else:
        share = float(box.to(torch.float32).mean())
        wide = math.ceil((math.sqrt(WANTED / share) - 1) / 2)
        half = [min(wide, r) for r in room]
        reach = max(half)
    if reach < 1:
        raise DataError(
            f"the calibration region of {tuple(block.shape[-2:])} is too small for GRAPPA, "
            "expected three lines or more: give maps of another scan"
        )
    return half[0], half[1]


def _gram(block: Tensor, side: tuple[int, int]) -> Tensor:
    """``P^H P`` of all windows of a block (coil, y, x): (coil neighbour, coil neighbour)."""
    patches = block.unfold(1, side[0], 1).unfold(2, side[1], 1)
    patches = patches.permute(1, 2, 0, 3, 4).flatten(2).flatten(0, 1)
    energy = patches.abs().square().mean(dim=1, keepdim=True)
    patches = patches * energy.clamp_min(torch.finfo(energy.dtype).tiny).rsqrt()
    return patches.mH @ patches


def _weights(gram: Tensor, window: Tensor, side: tuple[int, int], damping: float) -> Tensor:
    """Weights (pattern, coil neighbour, coil) for patterns (pattern, neighbour) of a window."""
    area = side[0] * side[1]
    coils = torch.arange(len(gram) // area, device=gram.device) * area
    index = (coils[:, None] + window[:, None, :]).flatten(1)
    centre = coils + area // 2
    own = gram[index[:, :, None], index[:, None, :]]
    scale = own.diagonal(dim1=-2, dim2=-1).real.mean(dim=-1)
    tiny = torch.finfo(scale.dtype).eps  # so that empty coils are no reason to fail
    own.diagonal(dim1=-2, dim2=-1).add_(((damping + tiny) * scale)[:, None])
    weights: Tensor = torch.linalg.solve(own, gram[index[:, :, None], centre])
    return weights
