"""The laws of operators and likelihoods, as checks for whoever adds one.

>>> from rimaging.testing import assert_laws
>>> assert_laws(MyOperator(...))                                # doctest: +SKIP

Random elements are drawn in the precision of the operator's own domain: build the operator in
double precision for the strict tolerance (1e-10), in single precision for the loose one (1e-4).
Tolerances are relative to the norms involved, never absolute. An operator whose buffers carry batch
axes ``(*batch, ...)`` is tested with that ``batch``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rimaging.errors import OptionError
from rimaging.operators.likelihood import Likelihood
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.space import Space

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

if not __debug__:
    raise OptionError(
        "python -O leaves out assertions, and every operator would pass: run the laws without -O"
    )

__all__ = [
    "assert_adjoint",
    "assert_laws",
    "assert_linear",
    "assert_locality",
    "assert_normal",
    "assert_normal_bound",
    "assert_normal_diagonal",
    "assert_score",
    "batches",
    "dtypes",
    "random_element",
    "shapes",
]


def assert_laws(
    operator: LinearOperator, batch: Sequence[int] = (), *, diagonal: bool = True
) -> None:
    """Check all laws of an operator; ``diagonal=False`` where `normal_diagonal` is an estimate."""
    assert_linear(operator, batch)
    assert_adjoint(operator, batch)
    assert_normal(operator, batch)
    assert_locality(operator, batch)
    if diagonal:
        assert_normal_diagonal(operator, batch)


def assert_linear(operator: LinearOperator, batch: Sequence[int] = (), seed: int = 0) -> None:
    """``A (a x + b z) = a A x + b A z``, likewise ``A*``, and no input is changed in place."""
    for name, map_, source in (
        ("forward", operator.forward, operator.domain),
        ("adjoint", operator.adjoint, operator.range),
    ):
        x, z = (random_element(source, batch, seed + i) for i in range(2))
        before = x.clone()
        a, b = (0.7 - 1.3j, -0.4 + 0.6j) if source.is_complex else (0.7, -1.3)
        image, other = map_(x), map_(z)
        assert torch.equal(x, before), f"{name} of {operator} changes its input in place"
        error = _norm(map_(a * x + b * z) - (a * image + b * other))
        bound = _tolerance(source) * (_norm(image) + _norm(other))
        assert error <= bound, f"{name} of {operator} is not linear: error {error}, bound {bound}"


def assert_adjoint(operator: LinearOperator, batch: Sequence[int] = (), seed: int = 0) -> None:
    """``<A x, y> = <x, A* y>`` relative to ``|A x| |y| + |x| |A* y|``, and the shapes are right."""
    x = random_element(operator.domain, batch, seed)
    y = random_element(operator.range, batch, seed + 1)
    image, back = operator.forward(x), operator.adjoint(y)
    for name, result, expected in (("forward", image, y), ("adjoint", back, x)):
        assert result.shape == expected.shape and result.dtype == expected.dtype, (
            f"{name} of {operator} gives {result.dtype} {tuple(result.shape)}, "
            f"not {expected.dtype} {tuple(expected.shape)}"
        )
    error = abs(_inner(image, y) - _inner(x, back))
    scale = _norm(image) * _norm(y) + _norm(x) * _norm(back)
    bound = _tolerance(operator.domain) * scale
    assert error <= bound, f"{operator}: <Ax, y> and <x, A*y> differ by {error}, bound {bound}"


def assert_normal(operator: LinearOperator, batch: Sequence[int] = (), seed: int = 0) -> None:
    """``normal(x) = adjoint(forward(x))``, and ``x`` is not changed in place."""
    x = random_element(operator.domain, batch, seed)
    before = x.clone()
    image, normal = operator.forward(x), operator.normal(x)
    assert torch.equal(x, before), f"normal of {operator} changes its input in place"
    expected = operator.adjoint(image)
    assert normal.shape == expected.shape, (
        f"normal of {operator} gives {tuple(normal.shape)}, not {tuple(expected.shape)}"
    )
    error = _norm(normal - expected)
    bound = _tolerance(operator.domain) * (_norm(expected) + _norm(image))
    assert error <= bound, f"normal of {operator} is not A*A: error {error}, bound {bound}"


def assert_score(likelihood: Likelihood, x: Tensor) -> None:
    """``score(x)`` is torch's gradient of ``log_prob``, relative to ``|score|``, per item.

    ``log_prob`` must also give one number for each item of ``x``.
    """
    leaf = x.detach().clone().requires_grad_()
    value = likelihood.log_prob(leaf)
    batch = x.shape[: x.ndim - len(likelihood.operator.domain.shape)]
    assert value.shape == batch, (
        f"log_prob gives {tuple(value.shape)}, not one number per item {tuple(batch)}"
    )
    (expected,) = torch.autograd.grad(value.sum(), leaf)
    score = likelihood.score(x)
    assert score.shape == x.shape, f"score has {tuple(score.shape)}, x has {tuple(x.shape)}"
    error = _norm(score - expected)
    bound = (1e-10 if x.dtype.to_real() == torch.float64 else 1e-4) * _norm(expected)
    assert error <= bound, f"score is not the gradient of log_prob: error {error}, bound {bound}"


def assert_locality(operator: LinearOperator, batch: Sequence[int] = ()) -> None:
    """The declared locality is true and tight, seen by perturbing every pixel.

    A radius ``r``: ``A* A`` carries a pixel at most ``2 r`` along any axis and, where the range has
    the shape of the domain, ``A`` at most ``r``; one of them comes as far, to within a pixel of the
    radius. The domain must be larger than ``2 r`` to see it. Axes: ``A* A`` couples no other axis,
    and each of these is coupled by ``A* A`` or ``A``.
    """
    locality = operator.locality
    normal = _reach(operator.domain, operator.domain, _columns(operator.normal, operator, batch))
    image = _reach(operator.domain, operator.range, _columns(operator.forward, operator, batch))
    if isinstance(locality, int):
        reach = max(normal)
        assert max(operator.domain.shape) > 2 * locality, (
            f"{operator} is too small to see its radius {locality}: test one larger than twice that"
        )
        assert reach <= 2 * locality, (
            f"A*A of {operator} reaches {reach} pixels, more than 2 * locality = {2 * locality}"
        )
        seen = (reach + 1) // 2
        if operator.range.shape == operator.domain.shape:
            assert max(image) <= locality, (
                f"A of {operator} reaches {max(image)} pixels, more than its locality {locality}"
            )
            seen = max(seen, *image)
        assert seen == locality, (
            f"{operator} has a radius of {seen} pixels only: locality {locality} is too large"
        )
        return
    axes = range(-len(normal), 0)
    for axis in (axis for axis in axes if axis not in locality):
        assert normal[axis] == 0, f"A*A of {operator} couples axis {axis}, not declared"
    for axis in (axis for axis in axes if axis in locality and operator.domain.shape[axis] > 1):
        coupled = normal[axis] > 0 or (len(image) >= -axis and image[axis] > 0)
        assert coupled, f"{operator} declares axis {axis} but neither A nor A*A couples it"


def assert_normal_diagonal(
    operator: LinearOperator, batch: Sequence[int] = (), seed: int = 0
) -> None:
    """``normal_diagonal(w)`` is ``sum_i w_i |A_ij|^2`` for each column, with and without weight."""
    power = _columns(operator.forward, operator, batch).square()
    generator = torch.Generator().manual_seed(seed)
    real = operator.domain.real_dtype
    weight = torch.rand((*batch, *operator.range.shape), generator=generator, dtype=real)
    axes = tuple(range(-len(operator.range.shape), 0))
    shape = (*batch, *operator.domain.shape)
    for w in (weight, None):
        columns = (power if w is None else w * power).sum(dim=axes)
        expected = columns.movedim(0, -1).reshape(shape)
        given = operator.normal_diagonal(w)
        assert np.broadcast_shapes(given.shape, shape) == shape, (
            f"normal_diagonal of {operator} has {tuple(given.shape)}, which does not broadcast to x"
        )
        error = _norm(given - expected)
        bound = _tolerance(operator.domain) * _norm(expected)
        assert error <= bound, f"diagonal of {operator}: error {error}, bound {bound}"


def assert_normal_bound(operator: LinearOperator, batch: Sequence[int] = (), seed: int = 0) -> None:
    """``diag(normal_bound(w)) - A* W A`` has no negative eigenvalue, with and without weight."""
    size = operator.domain.size
    generator = torch.Generator().manual_seed(seed)
    real = operator.domain.real_dtype
    weight = torch.rand((*batch, *operator.range.shape), generator=generator, dtype=real)
    units = torch.eye(size, dtype=operator.domain.dtype)
    units = units.reshape(size, *(1 for _ in batch), *operator.domain.shape)
    seen = operator(units.expand(size, *batch, *operator.domain.shape))
    for w in (weight, None):
        back = operator.adjoint(seen if w is None else w * seen)
        bound = torch.broadcast_to(operator.normal_bound(w), back.shape[1:])
        rows = back.reshape(size, -1, size).movedim(1, 0)
        gap = torch.diag_embed(bound.reshape(-1, size).to(rows.dtype)) - rows
        lowest = float(torch.linalg.eigvalsh(gap).min())
        allowed = _tolerance(operator.domain) * float(bound.max())
        assert lowest >= -allowed, f"normal_bound of {operator} is too low by {-lowest}"


def random_element(space: Space, batch: Sequence[int] = (), seed: int = 0) -> Tensor:
    """Draw ``(*batch, *shape)`` normal numbers of the space's kind, a function of the seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((*batch, *space.shape), generator=generator, dtype=space.dtype)


def shapes(ndim: int = 2, min_size: int = 1, max_size: int = 12) -> SearchStrategy[tuple[int, ...]]:
    """Shapes for Hypothesis: odd, even, not square, and of size 1."""
    from hypothesis import strategies as st

    sizes = st.integers(min_size, max_size)
    return st.tuples(*(sizes for _ in range(ndim)))


def batches(max_axes: int = 2, max_size: int = 3) -> SearchStrategy[tuple[int, ...]]:
    """Leading axes for Hypothesis, none included."""
    from hypothesis import strategies as st

    return st.lists(st.integers(1, max_size), max_size=max_axes).map(tuple)


def dtypes(*, is_complex: bool) -> SearchStrategy[torch.dtype]:
    """Single and double precision for Hypothesis, real or complex."""
    from hypothesis import strategies as st

    real = (torch.float64, torch.float32)
    return st.sampled_from([dtype.to_complex() if is_complex else dtype for dtype in real])


def _columns(
    map_: Callable[[Tensor], Tensor], operator: LinearOperator, batch: Sequence[int]
) -> Tensor:
    """Magnitudes of ``map_`` of every unit image: ``(pixels, *batch, *output)``."""
    space = operator.domain
    units = torch.eye(space.size, dtype=space.dtype)
    units = units.reshape(space.size, *(1 for _ in batch), *space.shape)
    return map_(units.expand(space.size, *batch, *space.shape)).abs()


def _reach(domain: Space, range_: Space, columns: Tensor) -> list[int]:
    """How far any pixel is carried along each axis, aligned at the last axes."""
    batch = tuple(range(1, columns.ndim - len(range_.shape)))
    magnitude = columns.amax(dim=batch) if batch else columns
    seen = (magnitude > _tolerance(domain) * magnitude.max()).nonzero()
    source = torch.stack(torch.unravel_index(seen[:, 0], domain.shape), dim=1)
    target = seen[:, 1:]
    common = min(len(domain.shape), len(range_.shape))
    if not len(seen):
        return [0] * common
    distance = (source[:, source.shape[1] - common :] - target[:, target.shape[1] - common :]).abs()
    return [int(d) for d in distance.amax(dim=0)]


def _inner(a: Tensor, b: Tensor) -> complex:
    return complex((a.conj() * b).sum().item())


def _norm(x: Tensor) -> float:
    return float(torch.linalg.vector_norm(x))


def _tolerance(space: Space) -> float:
    return 1e-10 if space.real_dtype == torch.float64 else 1e-4
