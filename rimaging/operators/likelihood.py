"""What every likelihood gives: how probable a measurement is, and the score that a RIM is fed."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor, nn

from rimaging.errors import ShapeError
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.operator import Operator


class Likelihood(nn.Module, ABC):
    """``p(y | x)`` for the measurement ``y`` of an image ``x`` seen by ``operator``.

    The score is the gradient that torch's autograd gives of ``log_prob``; for complex ``x`` this is
    ``d/d Re x + i d/d Im x``. Standard deviations are those of one real component.
    """

    def __init__(self, operator: Operator, y: Tensor) -> None:
        super().__init__()
        operator.range.check(y, "the measurement")
        self.operator = operator
        self.y: Tensor
        self.register_buffer("y", y)

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-len(self.operator.range.shape), 0))

    @property
    def item_axes(self) -> int:
        """How many trailing axes of an image belong to one item."""
        return len(self.operator.domain.shape)

    @property
    def linear(self) -> bool:
        """Whether the operator is."""
        return isinstance(self.operator, LinearOperator)

    @property
    def items(self) -> int:
        """How many items the batch has."""
        return self.y.shape[: self.y.ndim - len(self.operator.range.shape)].numel()

    def zeros(self) -> Tensor:
        """An image of zeros, ``(*batch, *domain.shape)``, of the measurement's precision."""
        real = self.y.real.dtype if self.y.is_complex() else self.y.dtype
        dtype = real.to_complex() if self.operator.domain.is_complex else real
        batch = self.y.shape[: self.y.ndim - len(self.operator.range.shape)]
        return torch.zeros((*batch, *self.operator.domain.shape), dtype=dtype, device=self.y.device)

    def observing(self, y: Tensor) -> Self:
        """The likelihood of another measurement by the same instrument: operator, noise, weight.

        Raises ShapeError for ``y`` of another shape.
        """
        if y.shape != self.y.shape:
            raise ShapeError(
                f"another measurement has shape {tuple(y.shape)}, this one {tuple(self.y.shape)}: "
                "build a new likelihood"
            )
        twin = copy.copy(self)
        twin._buffers = dict(self._buffers)  # the copy is shallow: this one keeps its own y
        twin.y = y
        return twin

    def expected(self, x: Tensor) -> Tensor:
        """The measurement of ``x`` without noise, in the units of ``y``: ``A x``."""
        seen: Tensor = self.operator(x)
        return seen

    def unexplained(self, x: Tensor) -> Tensor:
        """``y`` less what is expected of ``x``, 0 where nothing was measured."""
        return torch.where(self.measured, self.y - self.expected(x), 0)

    @property
    @abstractmethod
    def measured(self) -> Tensor:
        """Where something was measured, boolean, broadcastable to ``y``."""

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """``log p(y | x)`` up to a constant in ``x``, ``(*batch,)``."""

    @abstractmethod
    def score(self, x: Tensor) -> Tensor:
        """``d log p(y | x) / dx``, of the shape of ``x``."""

    @abstractmethod
    def curvature(self, x: Tensor, v: Tensor) -> Tensor:
        """``A* W A v`` with ``W`` the expected curvature of ``-log p`` at ``A x``."""

    def steepness(self, x: Tensor, v: Tensor) -> Tensor:
        """``v* A* W A v`` at ``x``, ``(*batch, 1, ..., 1)``: the curvature along ``v``."""
        dims = tuple(range(-self.item_axes, 0))
        return (v.conj() * self.curvature(x, v)).real.sum(dim=dims, keepdim=True)

    @abstractmethod
    def information(self) -> Tensor:
        """``diag(A* W A)``: one over the variance that each pixel would have alone."""

    @abstractmethod
    def bound(self, x: Tensor) -> Tensor:
        """A diagonal that majorises ``A* W A`` at ``x`` (`Operator.normal_bound`), for ``x``."""

    @abstractmethod
    def chi2(self, x: Tensor) -> Tensor:
        """Mean of ``w |y - A x|^2`` over the real components that were measured, ``(*batch,)``."""

    @property
    @abstractmethod
    def noise_scale(self) -> Tensor:
        """One typical standard deviation per item, ``(*batch, 1, ..., 1)`` against ``x``."""


def check_broadcast(tensor: Tensor, y: Tensor, name: str) -> None:
    """Raise ShapeError for a tensor that does not broadcast to the measurement."""
    try:
        tensor.expand(y.shape)
    except RuntimeError as error:
        raise ShapeError(
            f"{name} of shape {tuple(tensor.shape)} does not broadcast to the measurement "
            f"{tuple(y.shape)}: give one number, one per item, per coil or per pixel"
        ) from error


def extremes(tensor: Tensor) -> str:
    """The values of a tensor, in a few words for a message."""
    if tensor.numel() == 1:
        return f"{tensor.item():.4g}"
    return f"values from {tensor.min().item():.4g} to {tensor.max().item():.4g}"
