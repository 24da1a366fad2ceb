"""Gray scales are honest, figures are PNG files, curves are drawn from what a training wrote."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rimaging.errors import DataError, FormatError, ShapeError
from rimaging.reports.figures import (
    Scale,
    plane,
    plot_curves,
    residual_plot,
    scale_of,
    strip,
)


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


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


@pytest.mark.parametrize("kind", ["kspace", "sky", "image"])
def test_a_strip_is_darker_where_the_error_is_smaller(kind) -> None:
    generator = np.random.default_rng(1)
    truth = generator.random((3, 24, 20) if kind == "image" else (24, 20))
    noise = generator.normal(size=truth.shape)
    png = strip({"near": truth + 0.01 * noise, "far": truth + 0.2 * noise}, kind, truth)
    shown = opened(png)
    errors = shown[shown.shape[0] * 6 // 10 : shown.shape[0] * 9 // 10]
    third = shown.shape[1] * 3 // 10
    near, far = errors[:, third // 4 : third * 3 // 4], errors[:, third * 5 // 4 : third * 7 // 4]
    assert near.mean() < 0.7 * far.mean()
    assert max(shown.shape[:2]) < 1600


def test_a_strip_needs_one_shape() -> None:
    with pytest.raises(ShapeError, match="one shape"):
        strip({"a": np.ones((4, 4)), "b": np.ones((4, 5))}, "kspace")


@pytest.mark.parametrize("complex_values", [False, True])
def test_the_residual_plot_is_a_picture(complex_values: bool) -> None:
    residual = np.random.default_rng(0).normal(size=(2, 20, 24)) * (1 + 1j * complex_values)
    assert opened(residual_plot(residual, np.arange(24) % 3 > 0)).std() > 10


def test_curves_of_a_training_with_gaps(tmp_path: Path) -> None:
    lines = ["step,train_loss,psnr,seconds"]
    lines += [f"{i},{1 / (i + 1)},{20 + i if i % 2 else ''},{i}" for i in range(10)]
    table, picture = tmp_path / "log.csv", tmp_path / "curves.png"
    table.write_text("\n".join(lines))
    plot_curves(table, picture)
    assert opened(picture.read_bytes()).shape[0] > 400
    assert sorted(tmp_path.iterdir()) == [picture, table]
    table.write_text("step,seconds\n1,2\n")
    with pytest.raises(FormatError, match="loss or psnr"):
        plot_curves(table, picture)


def test_importing_figures_does_not_import_matplotlib() -> None:
    code = "import sys, rimaging.reports.figures, rimaging.reports.html; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"matplotlib", "jinja2", "skimage", "scipy"} & set(loaded)
