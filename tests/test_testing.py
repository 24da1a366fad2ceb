"""The checks must catch what they are for: each law is broken here in its own way."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from torch import Tensor

from rimaging import testing
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.identity import Identity
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.sampling import Sampling
from rimaging.operators.space import Space

SPACE = Space((6, 7), torch.float64)


class Shift(LinearOperator):
    """Move by one pixel to the right; what leaves is lost. Keeps all laws."""

    def __init__(self) -> None:
        super().__init__(SPACE, SPACE)

    def _forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.pad(x[..., :-1], (1, 0))

    def _adjoint(self, y: Tensor) -> Tensor:
        return torch.nn.functional.pad(y[..., 1:], (0, 1))

    @property
    def locality(self) -> int:
        return 1

    def normal_diagonal(self, weight: Tensor | None = None) -> Tensor:
        return self._adjoint(
            torch.ones(self.range.shape, dtype=SPACE.dtype) if weight is None else weight
        )


class Blur(Shift):
    """A pixel and its right neighbour, which `normal` couples."""

    def _forward(self, x: Tensor) -> Tensor:
        return x + super()._forward(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return y + super()._adjoint(y)


class NotLinear(Shift):
    def _forward(self, x: Tensor) -> Tensor:
        return super()._forward(x).abs()


class Affine(Shift):
    def _forward(self, x: Tensor) -> Tensor:
        return super()._forward(x) + 1e-6


class InPlace(Shift):
    def _forward(self, x: Tensor) -> Tensor:
        return super()._forward(x.mul_(1.5))


class WrongAdjoint(Shift):
    def _adjoint(self, y: Tensor) -> Tensor:
        return self._forward(y)


class SlightlyWrongAdjoint(Shift):
    def _adjoint(self, y: Tensor) -> Tensor:
        return (1 + 1e-7) * super()._adjoint(y)


class WrongShape(Shift):
    def _forward(self, x: Tensor) -> Tensor:
        return x[..., :-1]


class WrongNormal(Shift):
    def _normal(self, x: Tensor) -> Tensor:
        return x


class TooLocal(Blur):
    @property
    def locality(self) -> int:
        return 0


class TooWide(Blur):
    @property
    def locality(self) -> int:
        return 2


class WrongAxis(Blur):
    @property
    def locality(self) -> tuple[int, ...]:  # type: ignore[override]
        return (-2,)


class IdleAxis(Blur):
    @property
    def locality(self) -> tuple[int, ...]:  # type: ignore[override]
        return (-2, -1)


class WrongDiagonal(Shift):
    def normal_diagonal(self, weight: Tensor | None = None) -> Tensor:
        return torch.ones(self.domain.shape, dtype=SPACE.dtype)


class LowBound(Shift):
    def normal_bound(self, weight: Tensor | None = None) -> Tensor:
        return torch.full(self.domain.shape, 0.9, dtype=SPACE.dtype)


def test_a_right_operator_keeps_all_laws() -> None:
    testing.assert_laws(Shift())
    testing.assert_laws(Blur(), diagonal=False)


@pytest.mark.parametrize(
    ("check", "broken", "complaint"),
    [
        (testing.assert_linear, NotLinear, "not linear"),
        (testing.assert_linear, Affine, "not linear"),
        (testing.assert_linear, InPlace, "in place"),
        (testing.assert_adjoint, WrongAdjoint, "differ by"),
        (testing.assert_adjoint, SlightlyWrongAdjoint, "differ by"),
        (testing.assert_adjoint, WrongShape, r"\(6, 6\)"),
        (testing.assert_normal, WrongNormal, r"not A\*A"),
        (testing.assert_normal, InPlace, "in place"),
        (testing.assert_locality, TooLocal, "more than 2"),
        (testing.assert_locality, TooWide, "too large"),
        (testing.assert_locality, WrongAxis, "axis -1, not declared"),
        (testing.assert_locality, IdleAxis, "axis -2 but neither"),
        (testing.assert_normal_diagonal, WrongDiagonal, "diagonal"),
        (testing.assert_normal_bound, LowBound, "too low by"),
    ],
)
def test_catches(
    check: Callable[[LinearOperator], None], broken: type[LinearOperator], complaint: str
) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check(broken())


class WrongScore(Gaussian):
    def score(self, x: Tensor) -> Tensor:
        return super().score(x).conj()


class OneNumber(Gaussian):
    def log_prob(self, x: Tensor) -> Tensor:
        return super().log_prob(x).sum()


@pytest.mark.parametrize(
    ("likelihood", "complaint"),
    [(WrongScore, "not the gradient"), (OneNumber, "not one number per item")],
)
def test_catches_wrong_scores(likelihood: type[Gaussian], complaint: str) -> None:
    operator = Identity((4, 5), torch.complex128)
    y, x = (testing.random_element(operator.domain, (2,), seed) for seed in (0, 1))
    testing.assert_score(Gaussian(operator, y, 0.5), x)
    with pytest.raises(AssertionError, match=complaint):
        testing.assert_score(likelihood(operator, y, 0.5), x)


def test_refuses_to_judge_a_radius_that_does_not_fit() -> None:
    class Far(Blur):
        @property
        def locality(self) -> int:
            return 4

    with pytest.raises(AssertionError, match="too small to see its radius"):
        testing.assert_locality(Far())


def test_batches_of_buffers_are_tested_item_by_item() -> None:
    mask = torch.ones(2, 4, 5)
    mask[1, 0] = 0
    testing.assert_laws(Sampling(mask, dtype=torch.float64), (2,))


@given(shape=testing.shapes(3, 2, 4), batch=testing.batches(1, 2))
def test_strategies_stay_within_their_limits(
    shape: tuple[int, ...], batch: tuple[int, ...]
) -> None:
    assert len(shape) == 3 and all(2 <= n <= 4 for n in shape)
    assert len(batch) <= 1 and all(1 <= n <= 2 for n in batch)


def test_random_elements_are_a_function_of_the_seed() -> None:
    first, same, other = (testing.random_element(SPACE, (2,), seed) for seed in (0, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_the_guide_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/operators.md, block after block, in one namespace."""
    monkeypatch.chdir(tmp_path)
    guide = Path(__file__).resolve().parents[1] / "docs" / "operators.md"
    blocks = re.findall(r"```python\n(.*?)```", guide.read_text(), flags=re.DOTALL)
    namespace: dict[str, Any] = {"__name__": "guide"}
    for block in blocks:
        exec(block, namespace)
    assert namespace["telescope"].range.shape == (32, 32)
    testing.assert_score(namespace["likelihood"], torch.rand(3, 6, 8, dtype=torch.float64))
    # What the door gives by the saved weights is what the trained network gives.
    with torch.no_grad():
        trained = namespace["trainer"].ema(namespace["seen"])[-1]
    assert torch.allclose(namespace["found"].image, trained, atol=1e-4)
    assert float((trained - namespace["truth"]).std()) < float(namespace["truth"].std())


def test_laws_without_assertions_are_refused() -> None:
    """``python -O`` would let every operator pass."""
    told = subprocess.run(
        [sys.executable, "-O", "-c", "import rimaging.testing"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode and "without -O" in told.stderr
