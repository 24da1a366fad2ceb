"""Operators side by side: one image, several measurements of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from rimaging.errors import ShapeError
from rimaging.operators.linear_operator import (
    LinearOperator,
    Locality,
    check_operator,
    join_localities,
    spaces_of,
)
from rimaging.operators.space import Space


class Stack(LinearOperator):
    """``x -> (A_1 x, ..., A_n x)`` along a new leading axis; ``A* y = sum A_i* y_i``."""

    def __init__(self, operators: Iterable[LinearOperator]) -> None:
        operators = list(operators)
        if not operators:
            raise ShapeError("stack() got no operators: give at least one")
        for operator in operators:
            check_operator(operator, "stack()")
        first = operators[0]
        for other in operators[1:]:
            if spaces_of(other) != spaces_of(first):
                raise ShapeError(
                    f"stack() needs equal spaces, got {first.domain} -> {first.range} and "
                    f"{other.domain} -> {other.range}: build all for one size"
                )
        stacked = Space((len(operators), *first.range.shape), first.range.dtype)
        super().__init__(first.domain, stacked)
        self.operators = nn.ModuleList(operators)

    def _items(self) -> list[LinearOperator]:
        return [op for op in self.operators if isinstance(op, LinearOperator)]

    def _forward(self, x: Tensor) -> Tensor:
        axis = -len(self.range.shape)
        return torch.stack([op._forward(x) for op in self._items()], dim=axis)

    def _adjoint(self, y: Tensor) -> Tensor:
        parts = y.unbind(dim=-len(self.range.shape))
        total = self._items()[0]._adjoint(parts[0])
        for op, part in zip(self._items()[1:], parts[1:], strict=True):
            total = total + op._adjoint(part)
        return total

    def _normal(self, x: Tensor) -> Tensor:
        total = self._items()[0]._normal(x)
        for op in self._items()[1:]:
            total = total + op._normal(x)
        return total

    def normal_diagonal(self, weight: Tensor | None = None) -> Tensor:
        """The sum over the parts, each with its share of the weight."""
        items = self._items()
        weights: Sequence[Tensor | None] = [None] * len(items)
        if weight is not None:
            weights = self.range.expand(weight).unbind(dim=-len(self.range.shape))
        total = items[0].normal_diagonal(weights[0])
        for op, w in zip(items[1:], weights[1:], strict=True):
            total = total + op.normal_diagonal(w)
        return total

    @property
    def measured(self) -> Tensor | None:
        """That of each part; None where all measure everything."""
        parts = [op.measured for op in self._items()]
        if all(part is None for part in parts):
            return None
        core = self._items()[0].range
        one = next(part for part in parts if part is not None).new_ones(())
        whole = [core.expand(one if part is None else part) for part in parts]
        return torch.stack(torch.broadcast_tensors(*whole), dim=-len(self.range.shape))

    @property
    def stride(self) -> int:
        """That of the parts."""
        return self._items()[0].stride

    @property
    def locality(self) -> Locality:
        """The widest of the parts."""
        locality = self._items()[0].locality
        for op in self._items()[1:]:
            locality = join_localities(locality, op.locality)
        return locality


def stack(operators: Iterable[LinearOperator]) -> LinearOperator:
    """Stack operators of equal spaces along a new leading axis of the range."""
    return Stack(operators)
