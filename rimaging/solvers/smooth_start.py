"""Where iterations start: the smoothest image that explains the data."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rimaging.operators.gaussian import Gaussian
from rimaging.operators.likelihood import Likelihood
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.space import Space
from rimaging.solvers.cg import cg
from rimaging.solvers.differences import differences, differences_adjoint

ROUGHNESS = 0.02
"""Weight of the squared differences against the data in units of the noise: hardly any blur."""


def smooth_start(likelihood: Likelihood, iterations: int = 60) -> Tensor:
    """``argmin_x s^2 |y - A x|_W^2 + 0.02 |D x|^2`` by conjugate gradients, ``s`` the noise scale.

    Where nothing was measured it interpolates between what was, instead of leaving zeros. For
    operators that are not linear, and for complex images, it is zero.
    """
    operator = likelihood.operator
    linear = isinstance(operator, LinearOperator) and isinstance(likelihood, Gaussian)
    if not linear or operator.domain.is_complex or len(operator.domain.shape) < 2:
        return likelihood.zeros()
    assert isinstance(likelihood, Gaussian)
    stacked = Penalised(likelihood)
    root = stacked.root * likelihood.y
    padding = root.new_zeros((*stacked.batch, 2 * operator.domain.size))
    data = torch.cat((root.reshape(*stacked.batch, -1), padding), dim=-1)
    return cg(stacked, stacked.adjoint(data), iterations=iterations, tolerance=1e-4).x


class Penalised(LinearOperator):
    """``x -> (s W^(1/2) A x, sqrt(roughness) D x)``, flat, for least squares with a penalty."""

    def __init__(self, likelihood: Gaussian) -> None:
        operator = likelihood.operator
        assert isinstance(operator, LinearOperator)
        size = operator.range.size + 2 * operator.domain.size
        super().__init__(operator.domain, Space((size,), operator.domain.dtype))
        self.operator = operator
        axes = len(operator.range.shape)
        self.batch = likelihood.y.shape[: likelihood.y.ndim - axes]
        scale = likelihood.noise_scale
        batch = scale.shape[: scale.ndim - likelihood.item_axes]
        scale = scale.reshape((*batch, *(1 for _ in range(axes))))
        self.root: Tensor
        self.register_buffer("root", scale * likelihood.precision.sqrt(), persistent=False)

    def _forward(self, x: Tensor) -> Tensor:
        seen = (self.root * self.operator(x)).flatten(-len(self.operator.range.shape))
        rough = math.sqrt(ROUGHNESS) * differences(x).movedim(0, -1)
        return torch.cat((seen, rough.flatten(-len(self.domain.shape) - 1)), dim=-1)

    def _adjoint(self, y: Tensor) -> Tensor:
        seen, rough = y.split([self.operator.range.size, 2 * self.domain.size], dim=-1)
        seen = seen.reshape(*y.shape[:-1], *self.operator.range.shape)
        rough = rough.reshape(*y.shape[:-1], *self.domain.shape, 2).movedim(-1, 0)
        return self.operator.adjoint(self.root * seen) + math.sqrt(ROUGHNESS) * differences_adjoint(
            rough
        )
