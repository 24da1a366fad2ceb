"""CG-SENSE: least squares with coil sensitivities."""

from __future__ import annotations

from torch import Tensor

from rimaging.operators.cartesian import CartesianMRI
from rimaging.solvers.cg import cg


def cg_sense(
    kspace: Tensor,
    mask: Tensor,
    maps: Tensor,
    *,
    damping: float = 0.0,
    iterations: int = 30,
    tolerance: float = 1e-6,
    sets: bool = False,
) -> Tensor:
    """``argmin_x 1/2 |P F S x - y|^2 + lambda/2 |x|^2`` by conjugate gradients.

    The problem is quadratic, so ``lambda`` is relative to the maps (``sum |S|^2 = 1``) and not to
    the scale of the data. Fewer iterations regularise too.

    Args:
        kspace: complex ``(..., coil, y, x)``.
        mask: ``(..., y, x)``, 1 where measured.
        maps: complex ``(..., coil, y, x)``, or with ``sets`` ``(..., set, coil, y, x)``.
        damping: ``lambda``, 0 or more.
        iterations: the most steps of conjugate gradients.
        tolerance: relative residual to stop at.
        sets: whether the maps carry a set axis.

    Returns:
        Complex ``(..., y, x)``, or with ``sets`` ``(..., set, y, x)``.

    Raises:
        ShapeError: arrays that do not fit each other.
        DataError: k-space with NaN.
        OptionError: a negative damping, no iteration.

    Source: Pruessmann et al. (2001), Magn. Reson. Med. 46, 638.
    """
    operator = CartesianMRI(maps, mask, sets=sets)
    b = operator.adjoint(kspace)
    return cg(operator, b, damping=damping, iterations=iterations, tolerance=tolerance).x
