from __future__ import annotations

import pytest
import torch

from rimaging.benchmark import scans
from rimaging.errors import OptionError


@pytest.mark.parametrize(
    ("pattern", "acceleration", "calibration"),
    [("lines4", 4, (96, 20)), ("poisson4", 4, (24, 24)), ("poisson8", 8, (20, 20))],
)
def test_masks_measure_their_share_and_the_middle(
    pattern: str, acceleration: int, calibration: tuple[int, int]
) -> None:
    mask = scans.real_mask(pattern, (96, 120))
    assert int(mask.sum()) == 96 * 120 // acceleration
    height, width = calibration
    top, left = 48 - height // 2, 60 - width // 2
    assert bool((mask[top : top + height, left : left + width] == 1).all())
    assert torch.equal(mask, scans.real_mask(pattern, (96, 120)))


def test_an_unknown_pattern_is_said() -> None:
    with pytest.raises(OptionError, match="lines4"):
        scans.real_mask("spiral", (96, 120))


def test_columns_that_were_not_measured_are_cut_about_the_centre() -> None:
    full = torch.zeros(2, 8, 32, dtype=torch.complex64)
    full[..., 10:21] = 1  # DC is at 16: six columns before it, five with it
    cut = scans.measured_columns(full)
    assert torch.equal(cut, full[..., 10:22])
