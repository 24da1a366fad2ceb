from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rimaging.benchmark import bart, radial
from rimaging.benchmark.ours import NAMES
from rimaging.errors import FormatError, ShapeError
from rimaging.operators.noncartesian import NonCartesianMRI
from rimaging.operators.trajectories import radial as spokes_of
from rimaging.rim.weights import load_weights


def small(sets: int = 2) -> radial.RadialScan:
    y, x = torch.linspace(-1, 1, 24)[:, None], torch.linspace(-1, 1, 32)
    maps = torch.stack([torch.exp(-((y - a) ** 2) - x**2) + 0j for a in (-1, 0, 1)])
    maps = maps / maps.abs().square().sum(0).sqrt()
    image = ((y**2 + x**2) < 0.5) + 0j
    k = spokes_of((24, 32), 16, 32)
    kspace = NonCartesianMRI(maps, k)(image.to(maps.dtype))
    noise = 0.01 * torch.randn(kspace.shape, dtype=kspace.dtype)
    both = torch.stack((maps, 0.1 * maps.flip(0)))[:sets] if sets > 1 else maps
    return radial.RadialScan(kspace + noise, k, both, image.abs(), 0.0)


def test_a_scan_along_spokes_is_studied_by_all_methods(complex_weights: str) -> None:
    rim, _ = load_weights(complex_weights)
    scan = small()
    found = radial.study_radial(scan, rim, iterations=2, search=(2, 0), with_bart=False, adapting=1)
    assert found.rows[0].method == radial.GRIDDING
    assert tuple(row.method for row in found.rows[-4:]) == NAMES
    assert all(np.isfinite(scores).all() for scores in found.kept.values())
    assert {row.method for row in found.rows} == found.pictures.keys()
    assert all(np.isfinite((row.psnr, row.ssim, row.seconds)).all() for row in found.rows)
    assert "16 spokes" in radial.radial_table(scan, found).text()


@pytest.mark.skipif(not bart.available(), reason="bart is not installed")
def test_bart_sees_the_same_axes_and_scale() -> None:
    scan = small(sets=1)
    weight = torch.ones(scan.kspace.shape[-2:])
    image = bart.pics_along(
        scan.kspace, scan.trajectory, scan.maps, weight, penalty="l2", lamda=1e-4, iterations=30
    )
    assert image.shape == (24, 32)
    assert float((image.abs() - scan.reference).norm() / scan.reference.norm()) < 0.15
    with pytest.raises(ShapeError, match="one scan"):
        bart.pics_along(scan.kspace, scan.trajectory, scan.maps, weight[:3], penalty="l2", lamda=1)


def test_absent_scans_are_said(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="brain_alias"):
        radial.main(tmp_path, "mri")
