"""Linear operators: forward, adjoint, normal, and the algebra that composes them."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from rimaging.errors import OptionError, ShapeError
from rimaging.operators.factor import as_factor
from rimaging.operators.operator import Operator

Locality = int | tuple[int, ...]
"""A radius in pixels, or the (negative) axes of the domain that the operator couples entirely."""


class LinearOperator(Operator):
    """A linear map ``A: domain -> range`` with its adjoint ``A*`` and normal operator ``A* A``.

    Tensors are ``(*batch, *space.shape)``. Constant tensors are buffers, so ``.to(device)`` moves
    them; a buffer may have leading batch axes of its own and is broadcast against ``x``.

    A subclass writes ``_forward`` and ``_adjoint``, and ``_normal``, ``normal_diagonal`` and
    ``locality`` where it knows better than the defaults; `rimaging.testing` holds the laws to keep.
    """

    @abstractmethod
    def _adjoint(self, y: Tensor) -> Tensor: ...

    def _normal(self, x: Tensor) -> Tensor:
        return self._adjoint(self._forward(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """``A* y``, from ``(*batch, *range.shape)`` to ``(*batch, *domain.shape)``."""
        self.range.check(y, f"{type(self).__name__}.adjoint")
        return self._adjoint(y)

    def normal(self, x: Tensor) -> Tensor:
        """``A* A x``, often cheaper than forward and adjoint after each other."""
        self.domain.check(x, f"{type(self).__name__}.normal")
        return self._normal(x)

    @property
    def locality(self) -> Locality:
        """How far ``A* A`` carries a pixel: a radius, or the axes it couples entirely."""
        return tuple(builtin_range(-len(self.domain.shape), 0))

    @property
    def stride(self) -> int:
        """Pixels of the domain per pixel of the range, along each spatial axis."""
        return 1

    def vjp(self, x: Tensor, v: Tensor) -> Tensor:
        """``A* v``, whatever ``x`` is."""
        return self.adjoint(v)

    def jvp(self, x: Tensor, v: Tensor) -> Tensor:
        """``A v``, whatever ``x`` is."""
        return self.forward(v)

    def normal_diagonal(self, weight: Tensor | None = None) -> Tensor:
        """Estimate ``diag(A* W A)``, the weighted squared norms of the columns.

        ``E[conj(z) * (A* W A z)]`` over 32 random sign vectors ``z`` (Hutchinson), from a fixed
        seed. Subclasses give it exactly. ``weight`` is real, broadcastable to ``(*batch, *range)``.
        """
        generator = torch.Generator().manual_seed(0)
        real = torch.empty(0, dtype=self.domain.dtype).real.dtype
        signs = torch.randint(0, 2, (32, *self.domain.shape), generator=generator) * 2 - 1
        device = weight.device if weight is not None else next(self.buffers(), signs).device
        total: Tensor | None = None
        for sign in signs.to(device=device, dtype=self.domain.dtype):
            y = self._forward(sign)
            x = self._adjoint(y if weight is None else weight * y)
            probe = (x * sign).real if x.is_complex() else x * sign
            total = probe if total is None else total + probe
        assert total is not None
        return (total / len(signs)).clamp_min(0).to(real)

    def normal_bound(self, weight: Tensor | None = None) -> Tensor:
        """About the largest eigenvalue of ``A* W A``: ``1.1 |A|^2 max w``, one number per item.

        The norm comes from a dozen power iterations, which may end a little low: hence the tenth.
        Subclasses that know their kernel give the sums of absolute values along the rows, pixel by
        pixel, which bound the eigenvalues as well (Gershgorin) and follow the weight.
        """
        axes = tuple(1 for _ in self.domain.shape)
        squared = 1.1 * self.norm(12).square()
        squared = squared.reshape(*squared.shape, *axes)
        if weight is None:
            return squared
        largest = self.range.expand(weight).flatten(-len(self.range.shape)).amax(dim=-1)
        return squared * largest.reshape(*largest.shape, *axes)

    def norm(self, iterations: int = 30) -> Tensor:
        """The largest singular value of each batch item, by power iteration on ``A* A``."""
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(self.domain.shape, generator=generator, dtype=self.domain.dtype)
        x = x.to(next(self.buffers(), x).device)
        axes = tuple(builtin_range(-len(self.domain.shape), 0))
        value = torch.ones(())
        for _ in builtin_range(iterations):
            x = self._normal(x)
            # summed in double precision, which holds the squares of a detector in SI units
            wide = torch.complex128 if x.is_complex() else torch.float64
            value = torch.linalg.vector_norm(x, dim=axes, keepdim=True, dtype=wide)
            value = value.to(x.real.dtype)
            x = x / value.clamp_min(torch.finfo(value.dtype).tiny)
        return value.sqrt().reshape(value.shape[: value.ndim - len(axes)])

    @property
    def H(self) -> LinearOperator:
        """The adjoint as an operator."""
        return Adjoint(self)

    __array_ufunc__: ClassVar[None] = None  # NumPy leaves the product with its numbers to us

    def __matmul__(self, other: LinearOperator) -> LinearOperator:
        return Composition(self, other)

    def __add__(self, other: LinearOperator) -> LinearOperator:
        return Sum(self, other)

    def __rmul__(self, factor: complex) -> LinearOperator:
        return Scaled(self, factor)

    def __mul__(self, factor: complex) -> LinearOperator:
        return Scaled(self, factor)


builtin_range = range  # `range` is the field's name for where an operator maps to


class Adjoint(LinearOperator):
    """``A*``."""

    def __init__(self, operator: LinearOperator) -> None:
        super().__init__(operator.range, operator.domain)
        self.operator = operator

    def _forward(self, x: Tensor) -> Tensor:
        return self.operator._adjoint(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.operator._forward(y)

    @property
    def H(self) -> LinearOperator:
        """The operator itself."""
        return self.operator


class Composition(LinearOperator):
    """``(A B) x = A (B x)``; its adjoint is ``B* A*``."""

    def __init__(self, outer: LinearOperator, inner: LinearOperator) -> None:
        check_operator(inner, "A @ B")
        if outer.domain.shape != inner.range.shape or (
            outer.domain.is_complex != inner.range.is_complex
        ):
            raise ShapeError(
                f"A @ B needs B to map into the domain of A, got A: {outer.domain} -> "
                f"{outer.range} and B: {inner.domain} -> {inner.range}: build both for one size"
            )
        super().__init__(inner.domain, outer.range)
        self.outer = outer
        self.inner = inner

    def _forward(self, x: Tensor) -> Tensor:
        return self.outer._forward(self.inner._forward(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.inner._adjoint(self.outer._adjoint(y))

    def _normal(self, x: Tensor) -> Tensor:
        return self.inner._adjoint(self.outer._normal(self.inner._forward(x)))

    @property
    def measured(self) -> Tensor | None:
        """That of the outer operator."""
        return self.outer.measured

    @property
    def locality(self) -> Locality:
        """The radii add, in pixels of the domain; an axis that either couples stays coupled."""
        outer, inner = self.outer.locality, self.inner.locality
        if isinstance(outer, int) and isinstance(inner, int):
            return inner + self.inner.stride * outer
        joined = join_localities(outer, inner)
        assert isinstance(joined, tuple)
        return tuple(axis for axis in joined if axis >= -len(self.domain.shape))

    @property
    def stride(self) -> int:
        """The product."""
        return self.outer.stride * self.inner.stride


class Sum(LinearOperator):
    """``(A + B) x = A x + B x``."""

    def __init__(self, first: LinearOperator, second: LinearOperator) -> None:
        check_operator(second, "A + B")
        if spaces_of(first) != spaces_of(second):
            raise ShapeError(
                f"A + B needs equal spaces, got A: {first.domain} -> {first.range} and "
                f"B: {second.domain} -> {second.range}: build both for one size"
            )
        super().__init__(first.domain, first.range)
        self.first = first
        self.second = second

    def _forward(self, x: Tensor) -> Tensor:
        return self.first._forward(x) + self.second._forward(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.first._adjoint(y) + self.second._adjoint(y)

    @property
    def measured(self) -> Tensor | None:
        """Where either measures."""
        first, second = self.first.measured, self.second.measured
        return None if first is None or second is None else torch.maximum(first, second)

    @property
    def locality(self) -> Locality:
        """The cross terms ``A* B`` reach as far as the wider of the two."""
        return join_localities(self.first.locality, self.second.locality)


class Scaled(LinearOperator):
    """``(c A) x = c (A x)``; its adjoint is ``conj(c) A*``."""

    def __init__(self, operator: LinearOperator, factor: complex) -> None:
        factor = as_factor(factor)
        if isinstance(operator, Scaled):
            factor = factor * operator.factor
            operator = operator.operator
        if isinstance(factor, complex) and not operator.domain.is_complex:
            raise OptionError(
                f"a complex factor {factor} makes a real operator complex: give a real factor"
            )
        super().__init__(operator.domain, operator.range)
        self.operator: LinearOperator
        self.factor: complex
        self.operator = operator
        self.factor = factor

    def _forward(self, x: Tensor) -> Tensor:
        return self.factor * self.operator._forward(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.factor.conjugate() * self.operator._adjoint(y)

    def _normal(self, x: Tensor) -> Tensor:
        return abs(self.factor) ** 2 * self.operator._normal(x)

    @property
    def measured(self) -> Tensor | None:
        """That of the operator."""
        return self.operator.measured

    def norm(self, iterations: int = 30) -> Tensor:
        """``|c|`` times that of the operator."""
        return abs(self.factor) * self.operator.norm(iterations)

    def normal_diagonal(self, weight: Tensor | None = None) -> Tensor:
        """``|c|^2 diag(A* W A)``."""
        return abs(self.factor) ** 2 * self.operator.normal_diagonal(weight)

    def normal_bound(self, weight: Tensor | None = None) -> Tensor:
        """``|c|^2`` times that of the operator."""
        return abs(self.factor) ** 2 * self.operator.normal_bound(weight)

    @property
    def stride(self) -> int:
        """That of the operator."""
        return self.operator.stride

    @property
    def locality(self) -> Locality:
        """That of the operator."""
        return self.operator.locality


def check_operator(value: object, name: str) -> None:
    """Raise `OptionError` for what is no linear operator."""
    if not isinstance(value, LinearOperator):
        raise OptionError(
            f"{name} takes linear operators, got a {type(value).__name__}: apply one by A(x), "
            "scale it by 2 * A"
        )


def join_localities(a: Locality, b: Locality) -> Locality:
    """The wider of two radii; of axes the union, and a radius then couples both spatial axes."""
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    axes: set[int] = set()
    for locality in (a, b):
        if isinstance(locality, tuple):
            axes |= set(locality)
        elif locality > 0:
            axes |= {-2, -1}
    return tuple(sorted(axes))


def spaces_of(operator: LinearOperator) -> tuple[tuple[int, ...], bool, tuple[int, ...], bool]:
    """What two operators must share to be added or stacked."""
    domain, range_ = operator.domain, operator.range
    return domain.shape, domain.is_complex, range_.shape, range_.is_complex
