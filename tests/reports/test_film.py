"""The film strip: which steps are shown, its curve, and what is refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.errors import DataError, ShapeError
from rimaging.reports.film import FRAMES, chosen, film, psnr_curve


@given(st.integers(1, 200))
def test_the_first_and_the_last_step_are_shown_and_not_too_many(count: int) -> None:
    numbers = chosen(count)
    assert numbers[0] == 1 and numbers[-1] == count
    assert len(numbers) == min(count, FRAMES)


def test_the_curve_rises_where_estimates_come_nearer() -> None:
    truth = torch.rand(12, 10, generator=torch.Generator().manual_seed(0))
    steps = [truth + 0.1 / 2**t for t in range(4)]
    assert psnr_curve(steps, truth, "image") == pytest.approx([20, 26.02, 32.04, 38.06], abs=0.01)


@pytest.mark.parametrize("kind", ["image", "sky", "kspace"])
def test_a_film_is_a_png_with_and_without_a_truth(kind: str) -> None:
    truth = torch.rand(12, 10, generator=torch.Generator().manual_seed(0))
    steps = [truth + 0.1 / 2**t for t in range(3)]
    if kind == "kspace":
        steps = [torch.complex(x, x) for x in steps]
    with_truth = film(steps, kind, reference=truth)  # type: ignore[arg-type]
    without = film(steps, kind, changes=[0.1, 0.05], chi2=[2.0, 1.2, 1.0], before=truth)  # type: ignore[arg-type]
    assert with_truth.startswith(b"\x89PNG") and without.startswith(b"\x89PNG")
    assert with_truth != without


def test_nothing_to_show_is_said() -> None:
    with pytest.raises(DataError, match="keep_steps"):
        film([], "image")
    with pytest.raises(ShapeError, match="one shape"):
        film([torch.zeros(4, 4), torch.zeros(4, 5)], "image")
