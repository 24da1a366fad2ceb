"""Score and curvature of a likelihood, differentiable whatever its operator is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rimaging.typing import LikelihoodLike


def score(likelihood: LikelihoodLike, x: Tensor) -> Tensor:
    """The gradient of the log-likelihood at ``x``, differentiable in ``x``.

    Its derivative is taken for minus the curvature (of Gauss and Newton).
    """
    gradient: Tensor = _Score.apply(x, likelihood)  # type: ignore[no-untyped-call]
    return gradient


def curvature(likelihood: LikelihoodLike, x: Tensor, v: Tensor) -> Tensor:
    """``A* W A v`` at ``x``, differentiable in ``v`` whatever the operator is.

    It is self-adjoint: its derivative is itself.
    """
    image: Tensor = _Curvature.apply(v, x.detach(), likelihood)  # type: ignore[no-untyped-call]
    return image


class _Score(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, likelihood: LikelihoodLike) -> Tensor:
        ctx.save_for_backward(x)
        ctx.likelihood = likelihood
        return likelihood.score(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return -ctx.likelihood.curvature(x, gradients[0]), None


class _Curvature(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor, x: Tensor, likelihood: LikelihoodLike) -> Tensor:
        ctx.save_for_backward(x)
        ctx.likelihood = likelihood
        return likelihood.curvature(x, v)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return ctx.likelihood.curvature(x, gradients[0]), None, None
