"""The noise of k-space, for where nobody states it.

Two estimates, both too high where signal leaks into them; the second is too low where the noise of
coils correlates (by 15 % on a real 8-channel brain with correlations of 0.1 to 0.35):

outer: the samples farthest from the centre hardly hold signal, unless edges are sharp;
calibration: all patches of the fully sampled centre, over coils and neighbours, lie in a small
subspace (as ESPIRiT uses it), so the lowest eigenvalues of their Gram matrix hold noise alone.
How these grow with the noise follows no simple law, since patches overlap and the signal takes
its share of the dimensions; so noise of known strength is added to the data, and the estimate is
read off the growth: ``S(sigma^2 + tau^2) / S(sigma^2) = 1 + tau^2 / sigma^2``.

Source: of low-rank patches and noise, Veraart et al., NeuroImage 142 (2016) 394; of adding noise
to measure noise, Cook and Stefanski, J. Am. Stat. Assoc. 89 (1994) 1314.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rimaging.errors import DataError
from rimaging.operators.calibration import calibration_shape

__all__ = ["estimate_coil_noise", "estimate_kspace_noise", "spread"]

ITEMS = 8  # slices looked at, of a volume
BLOCK = 40  # largest side of the calibration region looked at
DIMENSIONS = 256  # most entries (coil, neighbour) of a patch
SHARE = 0.15  # of the eigenvalues, counted from the lowest
ROUNDS = 2
DRAWS = 2
BALANCING = 3  # rounds that bring coils to one scale
CLEAR = 0.95  # below this part of the outer estimate, the other one is not lower by chance
FLOOR = 0.1  # lower still, errors of the coil maps outweigh the noise whatever it is
LEAST = 0.1  # of the median over coils: below, one coil would outweigh all others


def estimate_kspace_noise(kspace: Tensor, mask: Tensor) -> float:
    """Estimate the noise per real component of k-space (..., coil, y, x), its mean over coils.

    The root mean square of ``sigma`` over coils that are not zero, the median over at most eight
    slices. ``mask`` (..., y, x) is above zero where something was measured. The same data give the
    same number, and ``c y`` gives ``c sigma``.

    Raises DataError where nothing was sampled, or the estimate is zero.
    """
    return _mean(_of_slices(kspace, mask), kspace)


def estimate_coil_noise(kspace: Tensor, mask: Tensor) -> Tensor:
    """Estimate the noise per real component of each coil of k-space (..., coil, y, x).

    ``sigma`` (coil, 1, 1), real and where k-space is, the same for all slices: of each coil the
    median over those of at most eight slices in which it is not zero, and no less than a tenth of
    the median over coils. A coil that is zero everywhere gets the root of the harmonic mean of
    ``sigma^2`` of the others, with which it weighs as they do on average. One slice with a
    calibration region of 20 x 20 gives it within some 10 %; where signal exceeds noise a
    hundredfold, coils of unlike noise are taken for more alike than they are.

    `Measurement.completed` takes one number instead: see docs/design/cell.md.

    Raises DataError where nothing was sampled, or the estimate is zero.
    """
    found = _of_slices(kspace, mask)
    middle = _mean(found, kspace)
    sigma = found.nanmedian(dim=0).values
    if bool((sigma > 0).any()):
        middle = float(sigma[sigma > 0].median())
    sigma = sigma.clamp_min(LEAST * middle)
    typical = sigma.pow(-2).nanmean().rsqrt()
    sigma = torch.where(sigma.isnan(), typical, sigma)
    return sigma.to(kspace.device, kspace.real.dtype)[:, None, None]


def _mean(found: Tensor, kspace: Tensor) -> float:
    """One number for estimates (slice, coil); raises DataError where it is zero."""
    sigma = float(found.square().nanmean(dim=1).sqrt().nanmedian().nan_to_num())
    # what float32 rounds away is no noise
    if sigma <= torch.finfo(torch.float32).eps * float(kspace.abs().max()):
        raise DataError(
            "the noise is estimated as zero (the data look noise-free): give noise=sigma."
        )
    return sigma


def spread(count: int) -> list[int]:
    """At most `ITEMS` of so many slices, evenly spaced: those that stand for a volume."""
    places: list[int] = torch.linspace(0, count - 1, min(ITEMS, count)).round().long().tolist()
    return places


def _of_slices(kspace: Tensor, mask: Tensor) -> Tensor:
    """The estimates (slice, coil) of the slices that stand for all; NaN where a coil is zero."""
    if not bool((mask > 0).any()):
        raise DataError("the sampling mask is zero everywhere: expected at least one sample.")
    coils, ny, nx = kspace.shape[-3:]
    items = kspace.reshape(-1, coils, ny, nx)
    masks = (mask > 0).expand(*kspace.shape[:-3], ny, nx).reshape(-1, ny, nx)
    found = torch.full((len(items), coils), math.nan, dtype=torch.float64)
    chosen = spread(len(items))
    for place in chosen:
        alive = (items[place] != 0).flatten(1).any(dim=1)
        if bool(alive.any()):
            found[place, alive.cpu()] = _of_item(items[place][alive], masks[place]).cpu()
    return found[chosen]


def _of_item(kspace: Tensor, mask: Tensor) -> Tensor:
    """The estimate (coil,) of one item (coil, y, x)."""
    outer = _outer_scale(kspace, mask)
    scale = outer.square().mean().sqrt()
    heard = outer > 0
    if not bool(heard.any()):
        return outer
    block, side = _calibration(kspace[heard].to(torch.complex128), mask)
    if side == 0:
        return outer
    # coils of unlike noise would spread its eigenvalues: all are brought to one scale first
    coils = outer.clone()
    coils[heard] *= _balance(block / outer[heard, None, None], side)
    null = _null_scale(block / coils[heard, None, None], side) * coils
    level = null.square().mean().sqrt()
    # where the outer samples say how high the noise is, the others still say of which coil
    wanted = level.clamp_min(FLOOR * scale) if level < CLEAR * scale else scale
    return coils * (wanted / coils.square().mean().sqrt())


def _outer_scale(kspace: Tensor, mask: Tensor) -> Tensor:
    """``sigma`` of each coil, from the twentieth of the samples farthest from the centre.

    Distances are relative to the acquired extent of each axis. ``|n|^2`` of complex noise has the
    median ``2 ln 2 sigma^2``.
    """
    rows, columns = torch.nonzero(mask & (kspace != 0).any(dim=0), as_tuple=True)
    squared = torch.zeros(rows.shape, dtype=torch.float64)
    for index, length in ((rows, kspace.shape[-2]), (columns, kspace.shape[-1])):
        offset = (index - length // 2).abs().to(torch.float64).cpu()
        squared += (offset / offset.max().clamp_min(1)) ** 2
    count = min(max(rows.numel() // 20, 64), rows.numel())
    outer = squared.topk(count).indices.to(rows.device)
    power = torch.view_as_real(kspace[:, rows[outer], columns[outer]].to(torch.complex128))
    middle: Tensor = power.square().sum(dim=-1).median(dim=1).values
    return (middle / (2 * math.log(2))).sqrt()


def _calibration(kspace: Tensor, mask: Tensor) -> tuple[Tensor, int]:
    """The calibration region (coil, y, x), and the side of patches that it has enough of, or 0."""
    height, width = calibration_shape(mask, BLOCK)
    coils, ny, nx = kspace.shape
    sides = [
        side
        for side in range(1, min(height, width) + 1)
        if 8 <= coils * side**2 <= min(DIMENSIONS, (height - side + 1) * (width - side + 1) // 2)
    ]
    top, left = ny // 2 - height // 2, nx // 2 - width // 2
    return kspace[:, top : top + height, left : left + width], sides[-1] if sides else 0


def _balance(block: Tensor, side: int) -> Tensor:
    """Factors (coil,) of the noise of each coil: what the lowest eigenvectors find there."""
    factors = torch.ones(len(block), dtype=torch.float64, device=block.device)
    gram = _gram(block, side)
    for _ in range(BALANCING):
        scale = factors.repeat_interleave(side**2)
        energy, vectors = torch.linalg.eigh(gram / torch.outer(scale, scale))
        count = max(3, round(2 * SHARE * len(energy)))
        lowest = vectors[:, :count].abs().square()
        rounding = torch.finfo(energy.dtype).eps * energy[-1] + torch.finfo(energy.dtype).tiny
        power = lowest @ energy[:count].maximum(rounding)
        # white noise would leave there what the projection has on its diagonal
        found, expected = (x.reshape(len(block), -1).sum(dim=1) for x in (power, lowest.sum(dim=1)))
        ratio = found / expected
        factors = factors * (ratio / ratio.mean()).clamp(0.25, 4)
    return factors


def _null_scale(block: Tensor, side: int) -> float:
    """``sigma`` of a block (coil, y, x) whose coils have the same, at most 1."""
    lowest = _lowest(block, side)
    generator = torch.Generator().manual_seed(0)
    variance = 1.0
    for _ in range(ROUNDS):
        grown = 0.0
        for _ in range(DRAWS):
            added = variance**0.5 * _noise(block, generator)
            grown += _lowest(block + added, side) / DRAWS
        if grown <= lowest:
            return math.inf
        variance = min(max(variance * lowest / (grown - lowest), FLOOR**2), 1.0)
    return math.sqrt(variance)


def _noise(like: Tensor, generator: torch.Generator) -> Tensor:
    """White noise of ``sigma = 1`` per real component; torch's own has half that variance."""
    noise = torch.randn(like.shape, generator=generator, dtype=like.dtype)
    return 2**0.5 * noise.to(like.device)


def _lowest(block: Tensor, side: int) -> float:
    """Sum of the lowest eigenvalues of the Gram matrix of all patches of a block (coil, y, x)."""
    energy = torch.linalg.eigvalsh(_gram(block, side)).clamp_min(0)
    return float(energy[: max(3, round(SHARE * len(energy)))].sum())


def _gram(block: Tensor, side: int) -> Tensor:
    """``M* M`` of all patches ``M`` (patch, coil side side) of a block (coil, y, x)."""
    patches = block.unfold(1, side, 1).unfold(2, side, 1).permute(1, 2, 0, 3, 4)
    matrix = patches.flatten(2).flatten(0, 1)
    return matrix.mH @ matrix
