"""K-space in two: nothing shared, nothing lost, the middle always given."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.datasets.splitting import MIDDLE, split
from rimaging.errors import DataError
from rimaging.operators.trajectories import radial

SIZE = 48
COILS = 3


def scan(mask: Tensor) -> Measurement:
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(COILS, SIZE, SIZE, dtype=torch.complex64, generator=generator) * mask
    return Measurement(kind="kspace", data=data, mask=mask, noise=1.0).completed()


def points() -> Tensor:
    mask = (torch.rand(SIZE, SIZE, generator=torch.Generator().manual_seed(1)) < 0.4).float()
    mask[14:34, 14:34] = 1
    return mask


def lines() -> Tensor:
    mask = torch.zeros(SIZE, SIZE)
    mask[:, ::3] = 1
    mask[:, 14:34] = 1
    return mask


@pytest.mark.parametrize("mask", [points(), lines(), lines().mT.contiguous(), torch.ones(48, 48)])
def test_two_parts_share_nothing_and_make_the_whole(mask: Tensor) -> None:
    whole = scan(mask)
    generator = torch.Generator().manual_seed(2)
    shares = []
    for _ in range(30):
        given, held = split(whole, generator)
        assert given.mask is not None and held.mask is not None
        assert not bool((given.mask * held.mask).any())
        assert torch.equal(given.mask + held.mask, mask)
        assert torch.equal(given.data + held.data, whole.data)
        assert bool(held.mask.any())
        middle = slice(SIZE // 2 - MIDDLE // 2, SIZE // 2 + MIDDLE // 2)
        assert torch.equal(given.mask[middle, middle], mask[middle, middle])
        shares.append(float(held.mask.sum() / (mask.sum() - mask[middle, middle].sum())))
    assert len(set(shares)) > 4 and max(shares) < 0.6


@pytest.mark.parametrize("axis", [0, 1])
def test_of_lines_whole_lines_are_held_back(axis: int) -> None:
    mask = lines() if axis == 0 else lines().mT.contiguous()
    _, held = split(scan(mask), torch.Generator().manual_seed(3))
    assert held.mask is not None
    assert torch.equal(held.mask.amax(axis), held.mask.amin(axis))


def test_a_few_lines_outside_the_middle_suffice() -> None:
    mask = torch.zeros(SIZE, SIZE)
    mask[:, 14:34] = 1
    mask[:, 3] = 1
    generator = torch.Generator().manual_seed(4)
    for _ in range(20):
        given, held = split(scan(mask), generator)
        assert held.mask is not None and given.mask is not None
        assert bool(held.mask[:, 3].all()) and held.mask.sum() == SIZE


def test_shots_of_a_trajectory_are_held_back_whole() -> None:
    trajectory = radial((SIZE, SIZE), 12, SIZE)
    data = torch.randn(COILS, 12, SIZE, dtype=torch.complex64)
    whole = Measurement(
        kind="kspace",
        data=data,
        trajectory=trajectory,
        noise=torch.full((COILS, 1, 1), 2.0),
        matrix=(SIZE, SIZE),
    )
    generator = torch.Generator().manual_seed(5)
    for _ in range(20):
        given, held = split(whole, generator)
        assert given.data.shape[-2] + held.data.shape[-2] == 12
        assert held.data.shape[-2] >= 1 and given.data.shape[-2] >= 1
        joined = torch.cat((given.data, held.data), dim=-2)
        assert torch.equal(joined.abs().sum((0, 2)).sort()[0], data.abs().sum((0, 2)).sort()[0])
        assert given.trajectory is not None
        assert given.trajectory.shape[-3] == given.data.shape[-2]


def test_a_scan_of_its_middle_alone_is_refused() -> None:
    mask = torch.zeros(SIZE, SIZE)
    mask[16:32, 16:32] = 1
    with pytest.raises(DataError, match="no samples but its middle"):
        split(scan(mask), torch.Generator())
