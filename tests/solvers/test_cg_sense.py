"""CG-SENSE agrees with sigpy on a real scan and keeps the laws of a linear method."""

from __future__ import annotations

import pytest
import torch

from rimaging.errors import ShapeError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.solvers.cg_sense import cg_sense
from rimaging.solvers.zero_filled import zero_filled


def test_equals_sigpy_on_a_real_scan(brain) -> None:
    from sigpy.mri.app import SenseRecon

    ours = cg_sense(*brain, damping=0.01, iterations=20, tolerance=0)
    kspace, _, maps = (array.numpy() for array in brain)
    theirs = SenseRecon(kspace, maps, lamda=0.01, max_iter=20, show_pbar=False).run()
    assert (ours - torch.from_numpy(theirs)).norm() <= 1e-4 * ours.norm()


def test_scales_with_the_data(brain) -> None:
    kspace, mask, maps = brain
    once = cg_sense(kspace, mask, maps, damping=0.01)
    torch.testing.assert_close(cg_sense(4 * kspace, mask, maps, damping=0.01), 4 * once)


def test_minimises_its_objective_and_fits_the_data_the_better_the_less_it_is_damped(brain) -> None:
    operator = CartesianMRI(brain.maps, brain.mask)

    def misfit(x: torch.Tensor) -> float:
        return float((operator.forward(x) - brain.kspace).norm() ** 2)

    misfits = []
    for damping in (1.0, 0.1, 0.01):
        x = cg_sense(*brain, damping=damping)
        misfits.append(misfit(x))
        lowest = misfits[-1] + damping * x.norm() ** 2
        for other in (zero_filled(*brain), 0.99 * x, 1.01 * x):
            assert misfit(other) + damping * other.norm() ** 2 > lowest
    assert misfits == sorted(misfits, reverse=True)


def test_two_sets_with_an_empty_second_are_one(brain) -> None:
    kspace, mask, maps = brain
    both = torch.stack([maps, torch.zeros_like(maps)])
    found = cg_sense(kspace, mask, both, damping=0.01, sets=True)
    once = cg_sense(kspace, mask, maps, damping=0.01)
    assert (found[0] - once).norm() <= 1e-5 * once.norm()
    assert not found[1].any()


def test_a_batch_is_its_items(brain) -> None:
    kspace, mask, maps = brain
    other = mask.clone()
    other[:, ::2] = 0
    together = cg_sense(
        torch.stack([kspace, 3j * kspace]), torch.stack([mask, other]), maps, damping=0.1
    )
    for k, m, x in zip((kspace, 3j * kspace), (mask, other), together, strict=True):
        alone = cg_sense(k, m, maps, damping=0.1)
        assert (x - alone).norm() <= 1e-5 * alone.norm()


def test_a_mask_of_another_size_is_refused(brain) -> None:
    with pytest.raises(ShapeError):
        cg_sense(brain.kspace, brain.mask[:, :-1], brain.maps)
