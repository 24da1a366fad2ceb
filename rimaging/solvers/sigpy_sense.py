"""SENSE in sigpy: what `l1_wavelet` and `total_variation` share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rimaging.errors import DataError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.solvers.load_sigpy import load_sigpy


def solve(
    kspace: Tensor,
    mask: Tensor,
    maps: Tensor,
    sets: bool,
    app: Callable[[Any, Any, float], Any],
) -> Tensor:
    """Run ``app(A, y)`` of one item after the other, each at unit scale.

    Every item's k-space is divided by a robust maximum of its adjoint image before, and the
    answer multiplied by it after, so that ``(c y)`` gives ``c x`` for one and the same ``lambda``.
    The image that ``A`` maps is ``(set, y, x)``, with one set where the maps have none.

    Args:
        kspace: complex ``(*batch, coil, y, x)``.
        mask: ``(*batch, y, x)``, 1 where measured; axes may be 1, or absent in front.
        maps: complex ``(*batch, coil, y, x)``, or with ``sets`` ``(*batch, set, coil, y, x)``;
            leading axes broadcast.
        sets: whether the maps carry a set axis.
        app: from the sigpy operator ``A`` of one item, its data, and a bound on ``|A|^2`` to the
            image ``(set, y, x)``. sigpy itself would estimate the norm from random numbers, so
            that no two runs were equal.

    Returns:
        ``(*batch, y, x)``, or with ``sets`` ``(*batch, set, y, x)``.

    Raises:
        DataError: nothing measured, or NaN.
        ShapeError: arrays that do not fit each other.
    """
    operator = CartesianMRI(maps, mask, sets=sets)
    adjoint = operator.adjoint(kspace)
    axes = len(operator.domain.shape)
    batch = adjoint.shape[: adjoint.ndim - axes]
    scale = robust_max(adjoint, sets)
    measured = kspace * operator.mask
    if not bool(torch.isfinite(scale).all()) or not bool((measured != 0).flatten(-3).any(-1).all()):
        raise DataError("k-space is NaN or zero wherever the mask says measured: check the mask")

    images = []
    for y, p, s, c in zip(
        _items(measured, batch, 3),
        _items(operator.mask.squeeze(-3), batch, 2),
        _items(maps if sets else maps.unsqueeze(-4), batch, 4),
        scale.reshape(-1).tolist(),
        strict=True,
    ):
        if c == 0:  # a slice of air, where maps are zero
            images.append(adjoint.new_zeros((s.shape[0], *s.shape[-2:]), device="cpu"))
            continue
        image = app(sense(s.numpy(), p.numpy()), (y / c).numpy(), bound(s))
        images.append(c * torch.from_numpy(image))
    return torch.stack(images).to(adjoint).reshape(adjoint.shape)


def sense(maps: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]) -> Any:
    """``A = P F sum_s S_s`` as a sigpy operator, ``(set, y, x) -> (coil, y, x)``."""
    load_sigpy()
    from sigpy import linop
    from sigpy.mri.linop import Sense

    weights = mask.astype(maps.real.dtype)
    size = maps.shape[-2:]
    parts = [Sense(s, weights=weights) * linop.Reshape(size, (1, *size)) for s in maps]
    return linop.Hstack(parts, axis=0)


def bound(maps: Tensor) -> float:
    """A bound on ``|P F S|^2``: ``max |S|^2`` of maps ``(set, coil, y, x)``, a matrix per pixel."""
    gram = torch.einsum("scyx,tcyx->yxst", maps.conj(), maps)
    return float(torch.linalg.eigvalsh(gram).max())


def robust_max(image: Tensor, sets: bool) -> Tensor:
    """The 99th percentile over pixels of ``|image|`` (its norm over sets), robust to outliers.

    The maximum where that is zero: coils that see less than a hundredth of a slice.
    """
    magnitude = torch.linalg.vector_norm(image, dim=-3) if sets else image.abs()
    magnitude = magnitude.flatten(-2)
    found = magnitude.kthvalue(math.ceil(0.99 * magnitude.shape[-1]), dim=-1).values
    return torch.where(found == 0, magnitude.amax(dim=-1), found)


def _items(array: Tensor, batch: torch.Size, axes: int) -> Tensor:
    """Expand the leading axes to ``batch`` and flatten them into one, on the CPU."""
    core = array.shape[array.ndim - axes :]
    return array.expand(*batch, *core).reshape(-1, *core).detach().cpu()
