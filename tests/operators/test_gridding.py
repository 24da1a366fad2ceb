from __future__ import annotations

import pytest
import torch

from rimaging.errors import DataError
from rimaging.operators.fourier import centred_fft
from rimaging.operators.gridding import grid_centre, visited
from rimaging.operators.nufft import NUFFT
from rimaging.operators.trajectories import cartesian, radial, spiral

SHAPE = (32, 40)


@pytest.mark.parametrize("name", ["cartesian", "radial", "spiral"])
def test_the_middle_of_k_space_is_what_the_grid_would_have(name: str) -> None:
    k = {
        "cartesian": cartesian(SHAPE),
        "radial": radial(SHAPE, 40),
        "spiral": spiral(SHAPE, 8),
    }[name]
    y, x = (torch.linspace(-1, 1, n) for n in SHAPE)
    coils = torch.stack([torch.exp(-9 * ((y[:, None] - c) ** 2 + x**2)) for c in (-0.2, 0.3)]) + 0j
    samples = NUFFT(k.flatten(0, 1), SHAPE)(coils).unflatten(-1, k.shape[:2])
    centre, mask = grid_centre(samples, k, SHAPE, 12)
    assert mask.sum() == 144 and mask[10:22, 14:26].all()
    assert not bool((centre[:, mask == 0] != 0).any())
    expected = mask * centred_fft(coils)
    assert (centre - expected).norm() < 0.03 * expected.norm()


def test_few_spokes_reach_less_far() -> None:
    widths = []
    for spokes in (6, 12, 24, 48):
        seen = visited(radial((64, 64), spokes), (64, 64))
        row = torch.cat([~seen.diagonal()[32:], torch.ones(1).bool()])
        widths.append(int(row.float().argmax()))
    assert widths == sorted(widths)
    assert bool(visited(cartesian(SHAPE), SHAPE).all())


def test_a_middle_that_was_not_sampled_is_refused() -> None:
    k = radial(SHAPE, 9)[:, :10]
    with pytest.raises(DataError, match="coil maps"):
        grid_centre(torch.ones(2, 9, 10) + 0j, k, SHAPE)
