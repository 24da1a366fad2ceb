"""What every operator has, linear or not: two spaces, forward, and its derivative both ways."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from rimaging.errors import OptionError
from rimaging.operators.space import Space


class Operator(nn.Module, ABC):
    """A map ``A: domain -> range`` with Jacobian ``J(x)``; tensors are ``(*batch, *space.shape)``.

    Likelihoods, and with them the RIM, know an operator through ``forward``, ``jvp`` and ``vjp``
    alone. `LinearOperator` writes them by its adjoint, `NonlinearOperator` by autograd.
    """

    def __init__(self, domain: Space, range: Space) -> None:
        super().__init__()
        self.domain = domain
        self.range = range

    @abstractmethod
    def _forward(self, x: Tensor) -> Tensor: ...

    def forward(self, x: Tensor) -> Tensor:
        """``A x``, from ``(*batch, *domain.shape)`` to ``(*batch, *range.shape)``."""
        self.domain.check(x, f"{type(self).__name__}.forward")
        return self._forward(x)

    @abstractmethod
    def vjp(self, x: Tensor, v: Tensor) -> Tensor:
        """``J(x)* v``, from ``(*batch, *range.shape)`` to ``(*batch, *domain.shape)``."""

    @abstractmethod
    def jvp(self, x: Tensor, v: Tensor) -> Tensor:
        """``J(x) v``, from ``(*batch, *domain.shape)`` to ``(*batch, *range.shape)``."""

    def pullback(self, x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """``A x``, and the function ``v -> J(x)* v``: cheaper together than one after the other."""
        return self.forward(x), partial(self.vjp, x)

    @abstractmethod
    def normal_diagonal(self, weight: Tensor | None = None) -> Tensor:
        """``diag(J* W J)``; of a non-linear operator where it starts from, see there."""

    def normal_bound(self, weight: Tensor | None = None) -> Tensor:
        """What no eigenvalue of ``J* W J`` exceeds, pixel by pixel: a diagonal that majorises it.

        Raises OptionError for a non-linear operator, which has no such bound for all images.
        """
        raise OptionError(
            f"{type(self).__name__} is not linear and has no bound, which weights with a fixed "
            "polynomial need: choose weights that solve by conjugate gradients"
        )

    @property
    def measured(self) -> Tensor | None:
        """Ones where the operator measures, zeros where its output is always zero; None: all ones.

        Broadcastable to ``(*batch, *range.shape)``.
        """
        return None

    def extra_repr(self) -> str:
        """Say what is mapped to what."""
        return f"{self.domain} -> {self.range}"
