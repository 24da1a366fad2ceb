from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rimaging.benchmark import mri, scans
from rimaging.benchmark.baselines import magnitude
from rimaging.benchmark.held_out import air_noise, head_ssim, kept_scores
from rimaging.benchmark.ours import NAMES, infer
from rimaging.errors import FormatError
from rimaging.reports.metrics import psnr
from rimaging.rim.weights import load_weights
from rimaging.solvers.zero_filled import zero_filled


def test_a_simulated_scan_is_studied_by_all_methods(data_root: Path, complex_weights: str) -> None:
    scan = scans.simulated(data_root, 0, side=48)
    rim, _ = load_weights(complex_weights)
    found = mri.study(scan, rim, iterations=2, search=(2, 0), with_bart=False, adapting=1)
    assert tuple(row.method for row in found.rows[-4:]) == NAMES
    assert {row.method for row in found.rows} == found.pictures.keys()
    assert all(np.isfinite((row.psnr, row.ssim, row.seconds)).all() for row in found.rows)
    table = mri.simulated_table([found, found])
    assert [row[0] for row in table.rows] == [row.method for row in found.rows]
    assert not found.kept  # nothing is known outside the mask


def test_the_real_scan_has_two_maps_and_a_reference_that_none_is_given(
    data_root: Path, complex_weights: str
) -> None:
    scan = scans.real(data_root, "lines4", 2)
    assert scan.maps.shape == (2, 8, 320, 168)
    assert torch.equal(scan.reference, zero_filled(scan.kspace, torch.ones(320, 168)))
    rim, _ = load_weights(complex_weights)
    image = infer(rim, scan.measured(7.4), True)
    assert image.shape == (2, 320, 168)
    sigma = air_noise(scan.kspace)
    assert 5 < sigma < 6.5
    likelihood = scan.measured(sigma).likelihood(sets=True)
    kept = kept_scores(image, scan, likelihood)
    plain = psnr(scan.reference, magnitude(image, scan.maps, True), float(scan.reference.max()))
    assert kept.psnr > plain and kept.unseen > 1
    worse = kept_scores(0 * image, scan, likelihood)
    assert worse.psnr < kept.psnr and worse.unseen > kept.unseen
    study = mri.Study([], scan.reference, sigma, 0.0, {}, {mri.OURS: kept})
    row = mri.Row(mri.OURS, None, plain, 0.5, 1.0)
    table = mri.real_table("lines4", 2, replace(study, rows=[row])).text()
    assert f"{kept.psnr:.2f}" in table and f"{kept.unseen:.3f}" in table


def test_similarity_of_the_head_does_not_ask_for_the_noise_of_the_air() -> None:
    line = torch.linspace(-1, 1, 64)
    head = (line[:, None] ** 2 + line**2 < 0.5).float()
    noise = 0.02 * torch.randn(64, 64, generator=torch.Generator().manual_seed(0)).abs()
    reference = head + noise
    assert head_ssim(reference, reference) == 1
    no_air, no_head = reference * head, reference * (1 - head) + head
    assert head_ssim(reference, no_air) > 0.97 > head_ssim(reference, no_head)


def test_absent_scans_are_said(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="brain_alias"):
        mri.main(tmp_path, "mri")
