"""Conjugate gradients on the normal equations of any linear operator, a batch at a time."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError
from rimaging.operators.linear_operator import LinearOperator


class Solution(NamedTuple):
    """What `cg` found: ``x`` like ``b``, and per batch item the steps taken and ``|r| / |b|``."""

    x: Tensor
    iterations: Tensor
    residual: Tensor


def cg(
    operator: LinearOperator,
    b: Tensor,
    *,
    damping: float | Tensor = 0.0,
    weight: Tensor | None = None,
    x0: Tensor | None = None,
    iterations: int = 30,
    tolerance: float = 1e-6,
) -> Solution:
    """Solve ``(A* W A + lambda) x = b``, each batch item for itself.

    An item that has converged, ``|r| <= tolerance |b|``, is left alone while the others go on, so
    that an item's answer does not depend on its neighbours.

    Args:
        operator: ``A``; its buffers may carry leading batch axes.
        b: ``(*batch, *operator.domain.shape)``; ``A* W y`` for a least-squares problem.
        damping: ``lambda >= 0``, a number or broadcastable to ``b``.
        weight: ``W >= 0``, real, broadcastable to ``(*batch, *operator.range.shape)``.
        x0: where to begin, like ``b``; zero by default.
        iterations: the most steps to take.
        tolerance: relative residual to stop at; 0 takes every step.

    Raises:
        DataError: ``b`` is not finite.
        OptionError: fewer than one iteration, or a negative damping.

    Source: Hestenes & Stiefel (1952), J. Res. Natl. Bur. Stand. 49, 409.
    """
    operator.domain.check(b, "cg")
    if iterations < 1:
        raise OptionError(f"cg got iterations={iterations}: ask for at least one step")
    if not bool((torch.as_tensor(damping) >= 0).all()):
        raise OptionError(f"cg got damping={damping}: a negative one has no solution, use >= 0")
    if not bool(torch.isfinite(b).all()):
        raise DataError("cg got a right-hand side with NaN or infinity: mask those samples first")

    axes = tuple(range(-len(operator.domain.shape), 0))

    def system(x: Tensor) -> Tensor:
        if weight is None:
            return operator.normal(x) + damping * x
        return operator.adjoint(weight * operator.forward(x)) + damping * x

    def inner(u: Tensor, v: Tensor) -> Tensor:
        return (u.conj() * v).real.sum(dim=axes, keepdim=True)

    x = torch.zeros_like(b) if x0 is None else x0.to(b.dtype).expand_as(b).clone()
    r = b.clone() if x0 is None else b - system(x)
    p = r
    power = inner(r, r)
    scale = inner(b, b)
    steps = torch.zeros_like(power, dtype=torch.int64)
    for _ in range(iterations):
        active = power > tolerance**2 * scale
        if not bool(active.any()):
            break
        q = system(p)
        curvature = inner(p, q)
        # No curvature left means rounding is all that remains: that item has finished too.
        active = active & (curvature > 0)
        alpha = torch.where(active, power / curvature, 0)
        x = x + alpha * p
        r = r - alpha * q
        previous, power = power, inner(r, r)
        p = torch.where(active, r + power / previous * p, 0)
        steps += active
    relative = torch.where(scale > 0, power / scale, 0).sqrt()
    return Solution(x, _per_item(steps, axes), _per_item(relative, axes))


def _per_item(value: Tensor, axes: tuple[int, ...]) -> Tensor:
    return value.reshape(value.shape[: value.ndim - len(axes)])
