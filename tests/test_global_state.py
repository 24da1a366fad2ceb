"""A library is a guest in its user's process: what it finds there it leaves as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rimaging import image, mri
from rimaging.errors import WeightsError
from rimaging.rim.config import RIMConfig
from rimaging.rim.rim import RIM
from rimaging.rim.weights import load_weights


@pytest.fixture
def double_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def noisy() -> Tensor:
    return torch.rand(12, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float32)


def kspace() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    full = torch.randn(2, 16, 24, generator=generator, dtype=torch.complex64)
    column = torch.arange(24)
    return full * ((column % 2 == 0) | ((column >= 8) & (column < 16)))


def test_loading_weights_moves_nobodys_random_numbers(real_weights: Path) -> None:
    before = torch.get_rng_state()
    load_weights(real_weights)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_rim_of_the_caller_stays_in_training(real_weights: Path) -> None:
    rim = load_weights(real_weights)[0].train().requires_grad_()
    found = image.denoise(noisy(), 0.1, rim).image
    assert rim.training and all(value.requires_grad for value in rim.parameters())
    expected = image.denoise(noisy(), 0.1, real_weights).image
    assert torch.equal(torch.as_tensor(found), torch.as_tensor(expected))


def test_a_rim_of_another_precision_is_refused(real_weights: Path) -> None:
    with pytest.raises(WeightsError, match=r"rim\.float\(\)"):
        image.denoise(noisy(), 0.1, load_weights(real_weights)[0].double())


@pytest.mark.usefixtures("double_by_default")
def test_weights_are_single_whatever_is_the_default(real_weights: Path) -> None:
    assert {value.dtype for value in RIM(RIMConfig(fine=4, coarse=4)).parameters()} == {
        torch.float32
    }
    found = image.denoise(noisy(), 0.1, real_weights).image
    torch.set_default_dtype(torch.float32)
    assert torch.equal(
        torch.as_tensor(found), torch.as_tensor(image.denoise(noisy(), 0.1, real_weights).image)
    )


@pytest.mark.usefixtures("double_by_default")
def test_scans_are_single_whatever_is_the_default(complex_weights: Path) -> None:
    maps = torch.ones(2, 16, 24, dtype=torch.complex64) / 2**0.5

    def found() -> Tensor:
        result = mri.reconstruct(kspace(), None, maps, 0.1, complex_weights, adapt=1)
        return torch.as_tensor(result.image)

    double = found()
    torch.set_default_dtype(torch.float32)
    assert torch.equal(double, found())
