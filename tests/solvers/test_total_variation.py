"""TV is sigpy's, but its lambda does not depend on the scale of the data."""

from __future__ import annotations

import pytest
import torch

from rimaging.errors import OptionError
from rimaging.solvers.sigpy_sense import robust_max
from rimaging.solvers.total_variation import total_variation
from rimaging.solvers.zero_filled import zero_filled


def test_equals_the_app_of_sigpy_at_unit_scale(brain) -> None:
    from sigpy.mri.app import TotalVariationRecon

    # The steps differ, so both must have converged.
    ours = total_variation(*brain, lamda=0.02, iterations=200)
    scale = robust_max(zero_filled(*brain), False).item()
    y = brain.kspace.numpy() / scale
    app = TotalVariationRecon(y, brain.maps.numpy(), lamda=0.02, max_iter=200, show_pbar=False)
    theirs = scale * torch.from_numpy(app.run())
    assert (ours - theirs).norm() <= 5e-3 * theirs.norm()


def test_scales_with_the_data_and_repeats_itself(brain) -> None:
    kspace, mask, maps = brain
    once = total_variation(kspace, mask, maps, lamda=0.01, iterations=10)
    torch.testing.assert_close(
        total_variation(1024 * kspace, mask, maps, lamda=0.01, iterations=10),
        1024 * once,
        rtol=0,
        atol=0,
    )


def test_more_penalty_less_variation(brain) -> None:
    def variation(lamda: float) -> float:
        x = total_variation(*brain, lamda=lamda, iterations=30)
        return float(x.diff(dim=-1).abs().sum() + x.diff(dim=-2).abs().sum())

    values = [variation(lamda) for lamda in (0.001, 0.01, 0.1)]
    assert values == sorted(values, reverse=True)


def test_batches_and_sets_are_their_items(brain) -> None:
    kspace, mask, maps = brain
    once = total_variation(kspace, mask, maps, lamda=0.01, iterations=10)
    both = torch.stack([maps, torch.zeros_like(maps)])
    batch = torch.stack([kspace, 2 * kspace])
    found = total_variation(batch, mask, both, lamda=0.01, iterations=10, sets=True)
    assert not found[:, 1].any()
    for factor, x in zip((1, 2), found[:, 0], strict=True):
        assert (x - factor * once).norm() <= 1e-5 * factor * once.norm()


def test_refuses_a_negative_lambda(brain) -> None:
    with pytest.raises(OptionError, match="lamda=-1"):
        total_variation(*brain, lamda=-1)
