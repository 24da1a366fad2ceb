from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rimaging.benchmark import mri, scans
from rimaging.errors import FormatError
from rimaging.rim.weights import load_weights
from rimaging.solvers.zero_filled import zero_filled


def test_a_simulated_scan_is_studied_by_all_methods(data_root: Path, complex_weights: str) -> None:
    scan = scans.simulated(data_root, 0, side=48)
    rim, _ = load_weights(complex_weights)
    found = mri.study(scan, rim, iterations=2, search=(2, 0), with_bart=False)
    assert found.rows[-1].method == mri.OURS
    assert {row.method for row in found.rows} == found.pictures.keys()
    assert all(np.isfinite((row.psnr, row.ssim, row.seconds)).all() for row in found.rows)
    table = mri.simulated_table([found, found])
    assert [row[0] for row in table.rows] == [row.method for row in found.rows]
    assert mri.OURS in mri.real_table("lines4", 1, found).text()


def test_the_real_scan_has_two_maps_and_a_reference_that_none_is_given(
    data_root: Path, complex_weights: str
) -> None:
    scan = scans.real(data_root, "lines4", 2)
    assert scan.maps.shape == (2, 8, 320, 168)
    assert torch.equal(scan.reference, zero_filled(scan.kspace, torch.ones(320, 168)))
    rim, _ = load_weights(complex_weights)
    assert mri.infer(rim, scan, 7.4).shape == (2, 320, 168)


def test_absent_scans_are_said(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="brain_alias"):
        mri.main(tmp_path, "mri")
