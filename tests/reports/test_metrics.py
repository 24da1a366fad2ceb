"""Laws of PSNR, SSIM and NMSE."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.errors import DataError, ShapeError
from rimaging.reports.metrics import luma, nmse, psnr, ssim


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    reference = generator.random((3, 24, 20))
    return reference, reference + 0.1 * generator.normal(size=reference.shape)


@given(error=st.floats(1e-4, 1.0), scale=st.floats(1e-3, 1e3))
def test_psnr_of_a_constant_error_is_its_ratio_to_the_peak(error: float, scale: float) -> None:
    reference = np.linspace(0, 1, 64).reshape(8, 8)
    found = psnr(scale * reference, scale * (reference + error), data_range=scale)
    assert found == pytest.approx(-20 * math.log10(error), rel=1e-6, abs=1e-6)


def test_metrics_do_not_change_when_both_images_and_the_range_are_scaled(pair) -> None:
    reference, image = pair
    for c in (1e-3, 7.0):
        assert psnr(c * reference, c * image, c) == pytest.approx(psnr(reference, image, 1.0))
        assert ssim(c * reference, c * image, c) == pytest.approx(ssim(reference, image, 1.0))
        assert nmse(c * reference, c * image) == pytest.approx(nmse(reference, image))


def test_psnr_follows_scikit_image(pair) -> None:
    from skimage.metrics import peak_signal_noise_ratio

    assert psnr(*pair, 1.0) == pytest.approx(peak_signal_noise_ratio(*pair, data_range=1.0))


def test_ssim_is_scikit_image_slice_by_slice_with_the_range_of_the_volume(pair) -> None:
    from skimage.metrics import structural_similarity

    reference, image = pair
    peak = float(reference.max())
    slices = [
        structural_similarity(a, b, data_range=peak) for a, b in zip(reference, image, strict=True)
    ]
    assert ssim(reference, image, peak) == pytest.approx(np.mean(slices), rel=1e-12)
    assert ssim(reference, reference, peak) == pytest.approx(1.0)


def test_a_volume_is_not_the_mean_of_its_slices(pair) -> None:
    reference, image = pair
    image = reference + np.array([0.01, 0.1, 0.5])[:, None, None]
    slices = [psnr(a, b, 1.0) for a, b in zip(reference, image, strict=True)]
    assert psnr(reference, image, 1.0) < np.mean(slices) - 1


def test_what_is_shaved_does_not_count(pair) -> None:
    reference, image = pair
    spoiled = image.copy()
    spoiled[:, :2] = spoiled[:, -2:] = 9
    spoiled[..., :2] = spoiled[..., -2:] = 9
    assert psnr(reference, spoiled, 1.0, shave=2) == psnr(reference, image, 1.0, shave=2)
    assert ssim(reference, spoiled, 1.0, shave=2) == ssim(reference, image, 1.0, shave=2)
    inner = (slice(None), slice(2, -2), slice(2, -2))
    assert psnr(reference, image, 1.0, shave=2) == psnr(reference[inner], image[inner], 1.0)


def test_nmse_of_a_scaled_reference(pair) -> None:
    assert nmse(pair[0], 1.5 * pair[0]) == pytest.approx(0.25)
    assert psnr(pair[0], pair[0], 1.0) == math.inf


def test_torch_and_numpy_give_the_same_float(pair) -> None:
    tensors = [torch.from_numpy(x).requires_grad_() for x in pair]
    for metric in (lambda a, b: psnr(a, b, 1.0), lambda a, b: ssim(a, b, 1.0), nmse):
        assert isinstance(metric(*tensors), float)
        assert metric(*tensors) == metric(*pair)


def test_luma_is_that_of_scikit_image() -> None:
    from skimage.color import rgb2ycbcr

    picture = np.random.default_rng(1).random((3, 5, 6))
    expected = rgb2ycbcr(np.moveaxis(picture, 0, -1))[..., 0] / 255
    np.testing.assert_allclose(luma(picture), expected, rtol=1e-12)
    assert isinstance(luma(torch.from_numpy(picture)), torch.Tensor)
    with pytest.raises(ShapeError, match="RGB first"):
        luma(np.moveaxis(picture, 0, -1))


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [
        (lambda a, b: (a, b[:, 1:]), ShapeError, "equal shapes"),
        (lambda a, b: (a, np.where(b > 0.5, np.nan, b)), DataError, "NaN"),
        (lambda a, b: (a, b + 1j), DataError, "magnitude"),
        (lambda a, b: (a[0, 0], b[0, 0]), ShapeError, "y, x"),
    ],
)
def test_what_cannot_be_compared_is_refused(pair, spoil, error, says: str) -> None:
    for metric in (lambda a, b: psnr(a, b, 1.0), lambda a, b: ssim(a, b, 1.0), nmse):
        with pytest.raises(error, match=says):
            metric(*spoil(*pair))


def test_ranges_and_borders_are_checked(pair) -> None:
    for data_range in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(DataError, match="data_range"):
            psnr(*pair, data_range)
    with pytest.raises(ShapeError, match="shave"):
        psnr(*pair, 1.0, shave=10)
    with pytest.raises(ShapeError, match="7 x 7"):
        ssim(*pair, 1.0, shave=7)
    with pytest.raises(DataError, match="zero everywhere"):
        nmse(np.zeros((8, 8)), np.ones((8, 8)))
