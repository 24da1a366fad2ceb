"""Apertures and moments at known places."""

from __future__ import annotations

import pytest
import torch

from rimaging.validate.photometry import apertures, median, moments, windows

IMAGE = torch.rand(40, 36, generator=torch.Generator().manual_seed(0))
X, Y = torch.tensor([10.3, 20.0, 1.2]), torch.tensor([12.7, 25.49, 38.0])


def test_apertures_agree_with_photutils() -> None:
    aperture = pytest.importorskip("photutils.aperture")
    circles = aperture.CircularAperture(list(zip(X.tolist(), Y.tolist(), strict=True)), r=4.3)
    wanted = aperture.aperture_photometry(IMAGE.numpy(), circles)["aperture_sum"]
    found = apertures(IMAGE, X, Y, 4.3)
    assert torch.allclose(found, torch.tensor(list(wanted)), rtol=5e-3)


def test_windows_are_centred_and_dark_outside() -> None:
    cut = windows(IMAGE, X, Y, 3)
    assert torch.equal(cut[0], IMAGE[10:17, 7:14])
    assert float(cut[2][:, 0].abs().max()) == 0 and float(cut[2][-1].abs().max()) == 0


def test_moments_of_a_gaussian() -> None:
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(36.0), indexing="ij")
    star = torch.exp(-((x - 20.2) ** 2 + (y - 25.1) ** 2) / (2 * 1.5**2))
    found = moments(star, torch.tensor([20.2]), torch.tensor([25.1]), 8, 3.0)
    assert torch.allclose(found.sigma, torch.tensor([1.5], dtype=torch.float64), atol=1e-3)
    assert float(found.x) == pytest.approx(8.2, abs=1e-3)


def test_the_median_leaves_out_what_is_not_finite() -> None:
    assert median(torch.tensor([1.0, torch.nan, 3.0])) == 2
    assert median(torch.tensor([])) != median(torch.tensor([]))
