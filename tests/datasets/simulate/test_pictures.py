"""Laws of pictures through many operators: declared noise, determinism, shapes, shares."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rimaging.datasets.simulate.pictures import OPERATORS, Pictures
from rimaging.errors import CardError


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("colour", [0.0, 1.0])
def test_the_noise_is_the_declared_one(name: str, colour: float, data_root: Path) -> None:
    if (name, colour) == ("projection", 1.0):
        pytest.skip("a dense matrix of 3072 columns is slow and no other path")
    sampler = Pictures({name: 1.0, "colour": colour}, data_root, "validation")
    likelihood, truth = sampler(torch.Generator().manual_seed(3), 4, 48)
    again, _ = sampler(torch.Generator().manual_seed(3), 4, 48)
    assert torch.equal(likelihood.y, again.y)
    assert truth.shape[1:] == likelihood.operator.domain.shape
    assert truth.ndim == (4 if colour else 3)
    count = likelihood.y[0].numel()
    assert torch.allclose(likelihood.chi2(truth), torch.ones(len(truth)), atol=6 / count**0.5)


def test_shares_decide(data_root: Path) -> None:
    sampler = Pictures({"bicubic": 1.0, "sampling": 3.0}, data_root, "validation")
    kinds = [
        type(sampler(torch.Generator().manual_seed(seed), 1, 32)[0].operator).__name__
        for seed in range(40)
    ]
    assert 3 <= kinds.count("Bicubic") <= 18
    assert kinds.count("Bicubic") + kinds.count("Sampling") == 40


def test_projections_fill_the_area_of_the_batch(data_root: Path) -> None:
    sampler = Pictures({"projection": 1.0}, data_root, "validation")
    assert sampler(torch.Generator().manual_seed(0), 2, 64)[1].shape == (8, 32, 32)


def test_mistakes_are_named(data_root: Path) -> None:
    with pytest.raises(CardError, match="does not know 'blur'"):
        Pictures({"blur": 1.0}, data_root)
    with pytest.raises(CardError, match="share above zero"):
        Pictures({}, data_root)
