"""L1-wavelet is sigpy's, but its lambda does not depend on the scale of the data."""

from __future__ import annotations

import pytest
import torch

from rimaging.errors import DataError, OptionError
from rimaging.solvers.l1_wavelet import l1_wavelet
from rimaging.solvers.sigpy_sense import robust_max
from rimaging.solvers.zero_filled import zero_filled


def test_equals_the_app_of_sigpy_at_unit_scale(brain) -> None:
    from sigpy.mri.app import L1WaveletRecon

    ours = l1_wavelet(*brain, lamda=0.01, iterations=40)
    scale = robust_max(zero_filled(*brain), False).item()
    y = brain.kspace.numpy() / scale
    app = L1WaveletRecon(y, brain.maps.numpy(), lamda=0.01, max_iter=40, show_pbar=False)
    theirs = scale * torch.from_numpy(app.run())
    assert (ours - theirs).norm() <= 1e-3 * theirs.norm()


def test_scales_with_the_data_and_repeats_itself(brain) -> None:
    kspace, mask, maps = brain
    once = l1_wavelet(kspace, mask, maps, lamda=0.01, iterations=10)
    torch.testing.assert_close(
        l1_wavelet(1024 * kspace, mask, maps, lamda=0.01, iterations=10),
        1024 * once,
        rtol=0,
        atol=0,
    )


def test_a_heavy_penalty_leaves_nothing(brain) -> None:
    assert not l1_wavelet(*brain, lamda=100.0, iterations=3).any()


def test_batches_and_sets_are_their_items(brain) -> None:
    kspace, mask, maps = brain
    once = l1_wavelet(kspace, mask, maps, lamda=0.01, iterations=10)
    both = torch.stack([maps, torch.zeros_like(maps)])
    batch = torch.stack([kspace, 2 * kspace])
    found = l1_wavelet(batch, mask, both, lamda=0.01, iterations=10, sets=True)
    assert found.shape == (2, 2, *mask.shape)
    assert not found[:, 1].any()
    for factor, x in zip((1, 2), found[:, 0], strict=True):
        assert (x - factor * once).norm() <= 1e-5 * factor * once.norm()


def test_refuses_unknown_wavelets_negative_lambda_and_empty_data(brain) -> None:
    kspace, mask, maps = brain
    with pytest.raises(OptionError, match="haarr"):
        l1_wavelet(*brain, lamda=0.1, wavelet="haarr")
    with pytest.raises(OptionError, match="lamda=-1"):
        l1_wavelet(*brain, lamda=-1)
    with pytest.raises(DataError, match="zero"):
        l1_wavelet(0 * kspace, mask, maps, lamda=0.1)
