from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rimaging.benchmark import robustness
from rimaging.benchmark.robustness import Trial
from rimaging.benchmark.scans import Scan
from rimaging.datasets.simulate.coils import coil_profiles, normalise
from rimaging.datasets.simulate.kspace import ellipse
from rimaging.errors import FormatError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.rim.weights import load_weights
from rimaging.solvers.zero_filled import zero_filled


def test_wrong_maps_stay_normalised_and_end_where_they_did() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(4, 12, 20, dtype=torch.complex64, generator=generator)
    maps = maps / torch.linalg.vector_norm(maps, dim=0)
    maps[:, :3] = 0
    wrong = robustness.perturbed(maps, generator, 0.05)
    assert bool((wrong[:, :3] == 0).all())
    lengths = torch.linalg.vector_norm(wrong[:, 3:], dim=0)
    assert torch.allclose(lengths, torch.ones_like(lengths), atol=1e-5)
    distance = torch.linalg.vector_norm(wrong[:, 3:] - maps[:, 3:], dim=0).square().mean().sqrt()
    assert 0.02 < float(distance) < 0.1


def test_each_trial_is_another_one(data_root: Path) -> None:
    found = []
    for trial in robustness.trials(data_root):
        found.append((trial.name, float(trial.scan.mask.mean()), trial.factor))
        if len(found) == 3:
            break
    assert [factor for _, _, factor in found] == [1.0, 0.5, 2.0]
    assert all(0.2 < share < 0.3 for _, share, _ in found)


def test_a_full_scan_is_kept_exactly(complex_weights: str) -> None:
    generator = torch.Generator().manual_seed(0)
    maps, _ = normalise(coil_profiles(generator, 4, 32))
    full = CartesianMRI(maps, torch.ones(32, 32))(ellipse(generator, 32) + 0j)
    noise = torch.randn(4, 32, 32, 2, generator=generator)
    kspace = full + 0.01 * torch.view_as_complex(noise)
    whole = torch.ones(32, 32)
    scan = Scan(kspace, whole, maps, zero_filled(kspace, whole), sets=False)
    rim, _ = load_weights(complex_weights)
    name, filled, wavelet, _, kept, ours, _, ours_kept = robustness.row(Trial("1x", scan), rim)
    assert (name, filled, kept, ours_kept) == ("1x", "exact", "exact", "exact")
    assert "exact" not in (wavelet, ours)


def test_absent_scans_are_said(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="brain_alias"):
        robustness.main(tmp_path, "mri")
