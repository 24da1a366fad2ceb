"""Tests for rimaging.benchmark.prospective: methods judged by samples that they were not given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rimaging.benchmark.ours import NAMES
from rimaging.benchmark.prospective import best, held_back_table, prospective, unseen
from rimaging.benchmark.scans import simulated
from rimaging.rim.weights import load_weights


def test_the_truth_predicts_what_was_held_back_to_the_noise(data_root: Path) -> None:
    scan = simulated(data_root, 0, side=64)
    sigma = 0.01 * float(scan.kspace.abs().max())
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 64, dtype=torch.complex64, generator=generator)
    likelihood = scan.measured(sigma).likelihood()
    noise = torch.randn(scan.kspace.shape, dtype=torch.complex64, generator=generator) * 2**0.5
    kspace = likelihood.operator(x) + sigma * noise * scan.mask
    seen = type(scan)(kspace, scan.mask, scan.maps, scan.reference, scan.sets)
    assert unseen(x, seen, scan.mask, sigma) == pytest.approx(1, abs=0.05)
    assert unseen(0.9 * x, seen, scan.mask, sigma) > unseen(x, seen, scan.mask, sigma)
    found = best(lambda v: v * x, lambda y: unseen(y, seen, scan.mask, sigma), 0.1, 10, (5, 6))
    assert found == pytest.approx(1, abs=0.1)


def test_every_method_has_a_row(data_root: Path, complex_weights: str) -> None:
    scan = prospective(data_root)
    assert scan.mask.mean() < 0.13 and not scan.reference.any()
    rim, _ = load_weights(complex_weights)
    table = held_back_table(scan, rim, iterations=2, search=(2, 0), adapting=1)
    names = [row[0] for row in table.rows]
    assert names[0] == "zero-filled" and names[-len(NAMES) :] == list(NAMES)
    errors = np.array([float(row[1]) for row in table.rows])
    assert len(set(names)) == len(names) and (errors > 1).all()
