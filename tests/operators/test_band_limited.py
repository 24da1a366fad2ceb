"""A band-limited field is the Hermitian trigonometric polynomial of its lags, at any point."""

from __future__ import annotations

import math

import torch

from rimaging.operators.band_limited import BandLimitedField, pixels


def make_field(image=(20, 31), size=3, degree=2):
    generator = torch.Generator().manual_seed(1)
    width = 2 * degree + 1
    lags = torch.randn(width, width, size, size, dtype=torch.complex128, generator=generator)
    return BandLimitedField(lags + lags.flip(0, 1).mH, image)


def test_equals_the_sum_over_all_lags():
    field = make_field()
    y, x = torch.tensor([0.0, 3, 19, -4]).double(), torch.tensor([0.0, 30, 7, 40]).double()
    lag = torch.arange(5) - 2
    phase = (y[:, None, None] - 10) * lag[:, None] / 20 + (x[:, None, None] - 15) * lag / 31
    wave = torch.polar(torch.ones(()).double(), 2 * math.pi * phase)
    expected = torch.einsum("pab,abcd->pcd", wave, field.lags)
    assert torch.linalg.norm(field(y, x) - expected) < 1e-12 * torch.linalg.norm(expected)


def test_is_hermitian_and_has_the_period_of_the_image():
    field = make_field()
    y, x = pixels(torch.arange(20), torch.arange(31))
    matrices = field(y, x)
    scale = torch.linalg.norm(matrices)
    assert torch.linalg.norm(matrices - matrices.mH) < 1e-12 * scale
    assert torch.linalg.norm(matrices - field(y - 20, x + 31)) < 1e-12 * scale


def test_pixels_run_row_by_row():
    y, x = pixels(torch.tensor([1, 2]), torch.tensor([5, 6, 7]))
    assert y.tolist() == [1, 1, 1, 2, 2, 2]
    assert x.tolist() == [5, 6, 7, 5, 6, 7]
