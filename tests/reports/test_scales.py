"""Gray scales are honest, and say what is shown of an image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.errors import DataError, ShapeError
from rimaging.reports.scales import Scale, plane, scale_of


@given(
    low=st.floats(-100, 100),
    span=st.floats(0.1, 1e4),
    softening=st.none() | st.floats(0.01, 100),
)
def test_a_scale_rises_from_black_to_white_and_can_be_read_back(low, span, softening) -> None:
    scale = Scale(low, low + span, softening)
    gray = np.linspace(0, 1, 11)
    values = scale.inverse(gray)
    assert (np.diff(values) > 0).all()
    assert values[[0, -1]] == pytest.approx([low, low + span], rel=1e-6, abs=1e-6 * span)
    np.testing.assert_allclose(scale(values), gray, atol=1e-6)
    assert scale(np.array([low - span, low + 2 * span, np.nan]))[:2].tolist() == [0, 1]


def test_the_sky_shows_faint_light_that_a_linear_scale_hides() -> None:
    from skimage import data

    sky = data.hubble_deep_field()[:300, :300].mean(-1)
    scale = scale_of(sky, "sky")
    faint = np.median(sky) + 5 * 1.4826 * np.median(np.abs(sky - np.median(sky)))
    linear = (faint - scale.low) / (scale.high - scale.low)
    assert scale(np.array(faint)) > 2.5 * linear
    assert scale_of(np.zeros((9, 9)), "sky")(np.zeros(1)) < 0.5


def test_the_scale_of_a_magnitude_starts_at_zero_and_of_a_photograph_is_fixed() -> None:
    image = np.random.default_rng(0).normal(size=(32, 32)) * (1 + 1j)
    assert scale_of(image, "kspace").low == 0
    assert scale_of(7 * image, "kspace").high == pytest.approx(7 * scale_of(image, "kspace").high)
    assert scale_of(image.real, "image") == Scale(0.0, 1.0)
    with pytest.raises(DataError, match="finite"):
        scale_of(np.full((4, 4), np.nan), "sky")


def test_what_is_shown_of_an_image() -> None:
    volume = np.arange(5 * 4 * 3.0).reshape(5, 4, 3)
    np.testing.assert_array_equal(plane(volume, "kspace"), volume[2])
    np.testing.assert_array_equal(plane(1j * volume, "kspace"), volume[2])
    np.testing.assert_array_equal(plane(volume, "sky"), volume[2, ::-1])
    colour = torch.rand(2, 3, 4, 5)
    np.testing.assert_allclose(plane(colour, "image"), colour[1].permute(1, 2, 0).numpy())
    with pytest.raises(ShapeError):
        plane(np.ones(3), "image")
