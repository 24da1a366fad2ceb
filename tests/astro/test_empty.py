"""A channel without data stays empty, and the others are as if it were not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rimaging import astro
from rimaging.datasets.noise import estimate_band_noise
from rimaging.errors import DataError
from rimaging.operators.convolution import Convolution
from rimaging.operators.target import gaussian_psf

SHAPE = (40, 44)
PSFS = torch.stack([torch.nn.functional.pad(gaussian_psf(3.0), (2, 2, 2, 2)), gaussian_psf(4.0)])


def bands() -> Tensor:
    data = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    data[:, 20, 22] += 100
    return data


def with_blank(data: Tensor, value: float) -> Tensor:
    return torch.stack([data[0], torch.full(SHAPE, value), data[1]])


@pytest.mark.parametrize("blank", [float("nan"), 0.0, "masked"])
@pytest.mark.parametrize("noise", [None, 1.0, "bands"])
@pytest.mark.parametrize(
    "how", [{"error_map": 2, "keep_steps": True}, {"method": "wiener"}], ids=["rim", "wiener"]
)
def test_the_others_are_as_without_it(
    how: dict[str, Any], noise: float | str | None, blank: float | str, real_weights: Path
) -> None:
    how = how | ({} if "method" in how else {"weights": real_weights})
    two = bands()
    cube = with_blank(two, 7.0 if isinstance(blank, str) else blank)
    mask = torch.ones(3, *SHAPE)
    mask[1] = 0
    given: dict[str, Any] = {"mask": mask} if blank == "masked" else {}
    sigmas = torch.tensor([1.0, 3.0, 2.0])[:, None, None]
    stated = (sigmas, sigmas[::2]) if noise == "bands" else (noise, noise)
    psfs = torch.stack([PSFS[0], torch.zeros_like(PSFS[0]), PSFS[1]])  # of nothing, too
    found = astro.deconvolve(cube, psfs, stated[0], **given, **how)
    alone = astro.deconvolve(two, PSFS, stated[1], **how)
    for mine, its in zip(
        [found.image, found.uncertainty, *found.steps],
        [alone.image, alone.uncertainty, *alone.steps],
        strict=True,
    ):
        assert (mine is None) == (its is None)
        if mine is not None:
            assert torch.equal(mine[::2], its) and bool(mine[1].isnan().all())
    assert torch.equal(found.residual[::2], alone.residual) and not bool(found.residual[1].any())
    assert found.chi2 == alone.chi2
    assert any("channel 1 is empty" in note for note in found.provenance["assumed"])
    assert found.measurement is not None and found.measurement.mask is not None
    assert not bool(found.measurement.mask[1].any())


def test_axes_in_front_stay_and_the_picture_is_one_that_is_there(
    real_weights: Path, tmp_path: Path
) -> None:
    cube = with_blank(bands(), float("nan")).reshape(1, 3, *SHAPE).numpy()
    found = astro.deconvolve(cube, 3.5, weights=real_weights)
    assert found.image.shape == cube.shape and np.isnan(found.image[0, 1]).all()
    assert found.report(tmp_path / "report.html").is_file() and "img" in found._repr_html_()
    flags = found.to_hdulist()["DQ"].data
    assert (flags[0, 1] != 0).all() and not flags[0, ::2].any()


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_where_all_are_empty_it_is_said(value: float, real_weights: Path) -> None:
    with pytest.raises(DataError, match="nothing was measured"):
        astro.deconvolve(torch.full((3, *SHAPE), value), 3.5, 1.0, weights=real_weights)


def test_the_psf_of_stars_is_not_sought_in_an_empty_band(real_weights: Path) -> None:
    pytest.importorskip("photutils")
    generator = torch.Generator().manual_seed(2)
    sky = torch.zeros(220, 220)
    for y, x in (torch.randint(2, 12, (25, 2), generator=generator) * 18).tolist():
        sky[y, x] = 3000 + 6000 * float(torch.rand((), generator=generator))
    seen = Convolution(gaussian_psf(3.0), sky.shape, "zero")(sky)
    image = 100 + seen + torch.randn(sky.shape, generator=generator)
    cube = torch.stack([torch.full_like(image, torch.nan), image])
    found = astro.deconvolve(cube, "stars", 1.0, weights=real_weights)
    assert bool(torch.isfinite(found.image[1]).all()) and bool(found.image[0].isnan().all())


def test_the_noise_of_an_empty_band_is_one() -> None:
    mask = torch.ones(2, *SHAPE)
    mask[0] = 0
    sigma = estimate_band_noise(bands(), mask).flatten()
    assert float(sigma[0]) == 1 and 0.8 < float(sigma[1]) < 1.2
    with pytest.raises(DataError, match="every pixel is masked"):
        estimate_band_noise(bands(), 0 * mask)
