"""Figures are PNG files, and matplotlib comes with the first of them."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from rimaging.errors import ShapeError
from rimaging.reports.figures import residual_plot, strip


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


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


@pytest.mark.parametrize("columns", [2, 5, 9])
def test_names_in_a_strip_do_not_run_into_each_other(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    extents = []

    def measured(figure) -> bytes:
        figure.canvas.draw()
        for axis in figure.axes[:columns]:
            extents.append(axis.title.get_window_extent())
        return b""

    monkeypatch.setattr("rimaging.reports.figures.png", measured)
    names = [f"plug-and-play, RIM deblur and image, ensemble of {i}" for i in range(columns)]
    strip(dict.fromkeys(names, np.ones((30, 30))), "image")
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(extents))
    assert all(extent.y0 > 0 for extent in extents)


def test_a_strip_needs_one_shape() -> None:
    with pytest.raises(ShapeError, match="one shape"):
        strip({"a": np.ones((4, 4)), "b": np.ones((4, 5))}, "kspace")


@pytest.mark.parametrize("complex_values", [False, True])
def test_the_residual_plot_is_a_picture(complex_values: bool) -> None:
    residual = np.random.default_rng(0).normal(size=(2, 20, 24)) * (1 + 1j * complex_values)
    assert opened(residual_plot(residual, np.arange(24) % 3 > 0)).std() > 10


def test_importing_figures_does_not_import_matplotlib() -> None:
    code = "import sys, rimaging.reports.figures, rimaging.reports.html; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"matplotlib", "jinja2", "skimage", "scipy"} & set(loaded)
