"""The identity: denoising is inference with ``A = 1``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.space import Space


class Identity(LinearOperator):
    """``A x = x`` on ``(*batch, *shape)``, real or complex as ``dtype`` says."""

    def __init__(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> None:
        space = Space(tuple(shape), dtype)
        super().__init__(space, space)

    def _forward(self, x: Tensor) -> Tensor:
        return x

    def _adjoint(self, y: Tensor) -> Tensor:
        return y

    def _normal(self, x: Tensor) -> Tensor:
        return x

    @property
    def locality(self) -> int:
        """Zero: no pixel sees another."""
        return 0

    def normal_diagonal(self, weight: Tensor | None = None) -> Tensor:
        """The weight itself."""
        if weight is None:
            return torch.ones(self.domain.shape, dtype=self.domain.real_dtype)
        return weight

    def normal_bound(self, weight: Tensor | None = None) -> Tensor:
        """The weight itself."""
        return self.normal_diagonal(weight)
