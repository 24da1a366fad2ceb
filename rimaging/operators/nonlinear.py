"""Non-linear operators: write ``forward`` alone, and autograd gives the rest."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import dual_level, make_dual, unpack_dual

from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.operator import Operator


class NonlinearOperator(Operator):
    """A differentiable map ``A: domain -> range``; a subclass writes ``_forward``.

    The Jacobian is only ever applied: ``vjp(x, v) = J(x)* v`` by reverse, ``jvp(x, v) = J(x) v``
    by forward differentiation. The graph of the last ``x`` is kept for further products there,
    which a solver asks for. They work under ``torch.inference_mode`` too, and are no part of an
    outer graph: a RIM does not differentiate through its physics.
    """

    _recorded: tuple[Tensor, Tensor] | None = None
    """The last ``x`` of a vjp and ``A x`` with its graph."""

    @abstractmethod
    def _forward(self, x: Tensor) -> Tensor: ...

    def vjp(self, x: Tensor, v: Tensor) -> Tensor:
        """``J(x)* v``, of the shape of ``x``."""
        self.range.check(v, f"{type(self).__name__}.vjp")
        # Clones made outside of inference mode are ordinary tensors, which autograd needs.
        with torch.inference_mode(False), torch.enable_grad():
            leaf, seen = self._record(x)
            (gradient,) = torch.autograd.grad(seen, leaf, v.detach().clone(), retain_graph=True)
        return gradient

    def pullback(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """As of any operator; one pass serves both."""
        with torch.inference_mode(False), torch.enable_grad():
            _, seen = self._record(x)
        return seen.detach(), partial(self.vjp, x)

    def jvp(self, x: Tensor, v: Tensor) -> Tensor:
        """``J(x) v``, of the shape of ``A x``."""
        with torch.inference_mode(False), torch.no_grad(), dual_level():
            answer = self.forward(make_dual(x.detach().clone(), v.detach().clone()))
            tangent = unpack_dual(answer).tangent
            return torch.zeros_like(answer) if tangent is None else tangent

    def _record(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self._recorded is not None:
            leaf, seen = self._recorded
            alike = (leaf.shape, leaf.dtype, leaf.device) == (x.shape, x.dtype, x.device)
            if alike and torch.equal(leaf, x):
                return leaf, seen
        leaf = x.detach().clone().requires_grad_()
        self._recorded = leaf, self.forward(leaf)
        return self._recorded

    def __getstate__(self) -> dict[str, Any]:
        """Without what was recorded: a graph can be neither copied nor pickled."""
        return {**self.__dict__, "_recorded": None}

    def linearised(self, x: Tensor) -> Linearised:
        """``J(x)`` as a linear operator, for any solver of linear problems."""
        return Linearised(self, x)

    def normal_diagonal(self, weight: Tensor | None = None) -> Tensor:
        """Estimate ``diag(J* W J)`` at zero, where inference starts, from 32 fixed probes.

        ``weight`` is real, broadcastable to ``(*batch, *range)``.
        """
        device = weight.device if weight is not None else next(self.buffers()).device
        zero = torch.zeros(self.domain.shape, dtype=self.domain.dtype, device=device)
        return self.linearised(zero).normal_diagonal(weight)


class Linearised(LinearOperator):
    """``J(x): v -> d A(x + t v) / dt`` of a non-linear ``A`` at a fixed ``x``."""

    def __init__(self, operator: NonlinearOperator, x: Tensor) -> None:
        super().__init__(operator.domain, operator.range)
        self.operator = operator
        self.x: Tensor
        self.register_buffer("x", x, persistent=False)

    def _forward(self, x: Tensor) -> Tensor:
        return self.operator.jvp(self.x.expand_as(x), x)

    def _adjoint(self, y: Tensor) -> Tensor:
        batch = y.shape[: y.ndim - len(self.range.shape)]
        return self.operator.vjp(self.x.expand(*batch, *self.domain.shape), y)


class Pointwise(NonlinearOperator):
    """``A x = f(B x)``: a linear operator, then a detector's response, one function of each value.

    For example ``Pointwise(blur, torch.nn.Tanh())``, a detector that saturates.

    Args:
        operator: ``B``, real.
        response: differentiable, elementwise.
    """

    def __init__(self, operator: LinearOperator, response: torch.nn.Module) -> None:
        super().__init__(operator.domain, operator.range)
        self.operator = operator
        self.response = response

    def _forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.response(self.operator(x))
        return answer
