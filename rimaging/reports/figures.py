"""Pictures of reconstructions: shared gray scales, strips with error maps, residuals, curves.

Every figure comes back as the bytes of a PNG file. Images that are compared share one `Scale`.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rimaging.errors import DataError, FormatError, ShapeError
from rimaging.reports.arrays import to_numpy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Kind = Literal["kspace", "sky", "image"]
"""What an image came from, as in `Measurement.kind`; it decides how the image is shown."""

BLUE, ORANGE, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#666666"
"""Colours that the colour-blind tell apart (Okabe & Ito, 2008)."""

_DPI = 150
_STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.dpi": _DPI,
}


@dataclass(frozen=True)
class Scale:
    """A gray scale: ``low`` is black, ``high`` is white; an asinh between if ``softening`` is set.

    The asinh is linear below ``softening`` and logarithmic above it (Lupton et al., AJ 118, 1406).
    """

    low: float
    high: float
    softening: float | None = None

    def __call__(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Map values to [0, 1]; NaN becomes black."""
        offset = np.nan_to_num(np.asarray(values, np.float64) - self.low, nan=0.0)
        span = self.high - self.low
        if self.softening is None:
            return np.clip(offset / span, 0.0, 1.0)
        stretched = np.arcsinh(offset / self.softening) / math.asinh(span / self.softening)
        return np.clip(stretched, 0.0, 1.0)

    def inverse(self, gray: NDArray[Any]) -> NDArray[np.float64]:
        """Give the values shown at ``gray`` in [0, 1]."""
        span, gray = self.high - self.low, np.asarray(gray, np.float64)
        if self.softening is None:
            return self.low + span * gray
        return self.low + self.softening * np.sinh(gray * math.asinh(span / self.softening))


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Points or lines ``(x, y)`` by name; ``asked`` is a range of y to shade."""

    title: str
    x: str
    y: str
    series: Mapping[str, tuple[NDArray[Any] | Tensor, NDArray[Any] | Tensor]]
    asked: tuple[float, float] | None = None
    limits: tuple[float, float] | None = None
    logarithmic: bool = False
    lines: bool = False


def plane(image: NDArray[Any] | Tensor, kind: Kind) -> NDArray[np.float64]:
    """Choose what is shown of an image: ``(y, x)``, or ``(y, x, 3)`` of a colour ``(3, y, x)``.

    The magnitude of complex images, and the middle of every leading axis. The first row of a
    picture of the sky is the lowest, as in every FITS viewer.

    Raises:
        ShapeError: fewer than two axes.
    """
    array = to_numpy(image)
    if array.ndim < 2:
        raise ShapeError(f"a picture needs (..., y, x), got {array.shape}: reshape it first")
    shown = np.abs(array) if np.iscomplexobj(array) else array
    shown = shown.astype(np.float64)
    colour = kind == "image" and shown.ndim >= 3 and shown.shape[-3] == 3
    while shown.ndim > 2 + colour:
        shown = shown[len(shown) // 2]
    if kind == "sky":
        return shown[::-1]
    return np.moveaxis(shown, 0, -1) if colour else shown


def scale_of(image: NDArray[Any] | Tensor, kind: Kind) -> Scale:
    """Choose the gray scale that suits an image.

    ``image``: black 0, white 1. ``kspace``: 0 to the 99.8th percentile of the magnitude. ``sky``:
    an asinh from 2 sigma below the median to the 99.9th percentile, softened at 3 sigma, with
    sigma from the median absolute deviation.

    Raises:
        DataError: no finite value to scale by.
    """
    shown = plane(image, kind)
    values = shown[np.isfinite(shown)]
    if not values.size:
        raise DataError("the picture has no finite value; expected an image")
    if kind == "image":
        return Scale(0.0, 1.0)
    if kind == "kspace":
        return Scale(0.0, float(np.percentile(values, 99.8)) or 1.0)
    median = float(np.median(values))
    sigma = 1.4826 * float(np.median(np.abs(values - median)))
    high = float(np.percentile(values, 99.9))
    # A noise-free sky has sigma 0: any small fraction of the peak then does.
    sigma = max(sigma, 1e-3 * (high - median)) or 1.0
    low = median - 2 * sigma
    return Scale(low, max(high, low + 10 * sigma), 3 * sigma)


def strip(
    images: Mapping[str, NDArray[Any] | Tensor],
    kind: Kind,
    reference: NDArray[Any] | Tensor | None = None,
    gain: float = 5.0,
    units: str = "",
) -> bytes:
    """Images side by side on one gray scale; below them ``gain`` x the error on the same scale.

    Args:
        images: what is shown, by name.
        kind: how it is shown.
        reference: the truth: shown last, and errors are taken against it. Without it, no errors.
        gain: of the error maps.
        units: written beside the bar of values.

    Raises:
        ShapeError: images of other shapes.
    """
    shown = {name: plane(image, kind) for name, image in images.items()}
    truth = None if reference is None else plane(reference, kind)
    if truth is not None:
        shown["reference"] = truth
    shapes = {picture.shape for picture in shown.values()}
    if len(shapes) != 1:
        raise ShapeError(f"a strip needs images of one shape, got {sorted(shapes)}: crop them")
    scale = scale_of(list(images.values())[-1] if reference is None else reference, kind)
    # The gray scale of the images, moved to begin at 0 and made `gain` times steeper.
    soft = None if scale.softening is None else scale.softening / gain
    errors = Scale(0.0, (scale.high - scale.low) / gain, soft)
    height, width = next(iter(shapes))[:2]
    rows, columns = 1 + (truth is not None), len(shown)
    side = min(2.6, 9.0 / columns)
    size = (side * columns + 0.9, (side * height / width + 0.3) * rows)
    with figure_of(rows, columns, size) as (figure, axes):
        for column, (name, picture) in enumerate(shown.items()):
            gray(axes[0][column], scale(picture), name)
            if truth is not None and name != "reference":
                gray(axes[1][column], errors(np.abs(picture - truth)), f"{gain:g} × |error|")
            elif truth is not None:
                axes[1][column].set_axis_off()
        _bar(figure, axes[0], scale, units)
        if truth is not None:
            _bar(figure, axes[1], errors, units)
        return png(figure)


def residual_plot(
    residual: NDArray[Any] | Tensor, mask: NDArray[Any] | Tensor | None = None
) -> bytes:
    """Show the residual in units of the noise: as a map, a histogram against N(0, 1), a spectrum.

    Args:
        residual: ``(y - A x) / sigma``, ``(..., y, x)``, real or complex (its real part is mapped).
        mask: 1 where measured, broadcastable to ``residual``.
    """
    array = to_numpy(residual)
    measured = np.broadcast_to(np.ones(()) if mask is None else to_numpy(mask) != 0, array.shape)
    values = array[measured.astype(bool)]
    parts = np.concatenate([values.real, values.imag]) if np.iscomplexobj(values) else values
    picture = plane(np.where(measured, array, 0).real, "kspace")
    with figure_of(1, 3, (9.6, 2.8)) as (figure, ((where, how_large, how_white),)):
        shown = where.imshow(picture, cmap="RdBu_r", vmin=-4, vmax=4, interpolation="nearest")
        where.set(title="residual", xticks=[], yticks=[])
        where.spines[:].set_visible(False)
        figure.colorbar(shown, ax=where, label="σ", shrink=0.85, ticks=[-4, -2, 0, 2, 4])
        edges = np.linspace(-5, 5, 61)
        normal = np.exp(-(edges**2) / 2) / math.sqrt(2 * math.pi)
        how_large.hist(
            parts, edges.tolist(), density=True, color=BLUE, alpha=0.55, label="residual"
        )
        how_large.plot(edges, normal, color=ORANGE, lw=1.8, label="noise as stated")
        how_large.set(title="distribution", xlabel="σ", yticks=[], ylim=(0, None))
        how_large.spines["left"].set_visible(False)
        how_large.legend(loc="upper left", fontsize=7.5, handlelength=1, borderpad=0)
        frequency, power = _spectrum(np.where(measured, array, 0), measured)
        how_white.plot(frequency, power, color=BLUE, lw=1.8, label="residual")
        how_white.axhline(1, color=ORANGE, lw=1.8, label="noise as stated")
        how_white.legend(loc="lower left", fontsize=7.5, handlelength=1)
        top = max(2.0, 1.15 * float(power.max()))
        how_white.set(title="power by spatial frequency", xlabel="cycles per pixel", ylim=(0, top))
        return png(figure)


def points(panels: Sequence[Panel], size: tuple[float, float] = (9.6, 3.0)) -> bytes:
    """Measured points in panels side by side, with the range that is asked for shaded."""
    with figure_of(1, len(panels), size) as (figure, (axes,)):
        for axis, panel in zip(axes, panels, strict=True):
            if panel.asked is not None:
                axis.axhspan(*panel.asked, color=GREEN, alpha=0.15, lw=0)
            colours = (BLUE, ORANGE, GREEN, GRAY)
            for (name, (x, y)), colour in zip(panel.series.items(), colours, strict=False):
                style = "-" if panel.lines else "."
                axis.plot(to_numpy(x), to_numpy(y), style, color=colour, ms=4, lw=1.5, label=name)
            axis.set(title=panel.title, xlabel=panel.x, ylabel=panel.y)
            if panel.logarithmic:
                axis.set_xscale("log")
            if panel.limits is not None:
                axis.set_ylim(*panel.limits)
            if len(panel.series) > 1:
                axis.legend(fontsize=7.5, handlelength=1)
        return png(figure)


def tile_map(values: NDArray[Any] | Tensor, title: str, span: float) -> bytes:
    """One number for each tile ``(rows, columns)``, coloured by its distance from 1."""
    with figure_of(1, 1, (4.2, 3.4)) as (figure, ((axis,),)):
        shown = axis.imshow(
            to_numpy(values), cmap="RdBu_r", vmin=1 - span, vmax=1 + span, origin="lower"
        )
        axis.set(title=title, xticks=[], yticks=[])
        figure.colorbar(shown, ax=axis, shrink=0.85)
        return png(figure)


def plot_curves(csv_path: str | Path, png_path: str | Path) -> None:
    """Draw the curves of a training run: losses above (logarithmic), PSNR in dB below.

    The first column is the step; columns with "loss" or "psnr" in their names are drawn, empty
    cells are skipped. Written under a temporary name, then renamed.

    Raises:
        FormatError: no header, or no such column.
    """
    with Path(csv_path).open(newline="") as lines:
        rows = list(csv.DictReader(lines))
        names = list(rows[0]) if rows else []
    panels = [[name for name in names[1:] if word in name.lower()] for word in ("loss", "psnr")]
    panels = [panel for panel in panels if panel]
    if not panels:
        raise FormatError(
            f"{Path(csv_path).name} has columns {names}; expected a step, then loss or psnr columns"
        )
    with figure_of(len(panels), 1, (6.4, 2.4 * len(panels)), share=True) as (figure, axes):
        for (axis,), panel in zip(axes, panels, strict=True):
            for name, colour in zip(panel, (BLUE, ORANGE, GREEN, GRAY) * len(panel), strict=False):
                pairs = [(float(r[names[0]]), float(r[name])) for r in rows if r[name]]
                x, y = np.array(pairs).reshape(-1, 2).T
                axis.plot(x, y, color=colour, lw=1.5, label=name.replace("_", " "))
                positive = bool(y.size) and bool((y > 0).all())
            if "loss" in panel[0].lower():
                axis.set_yscale("log" if positive else "linear")
            axis.set_ylabel("loss" if "loss" in panel[0].lower() else "PSNR (dB)")
            axis.legend(fontsize=8)
            axis.grid(axis="y", color="0.9", lw=0.6)
        axes[-1][0].set_xlabel(names[0])
        picture = png(figure)
    target = Path(png_path)
    partial = target.with_name(target.name + ".partial")
    partial.write_bytes(picture)
    partial.replace(target)


@contextmanager
def figure_of(
    rows: int,
    columns: int,
    size: tuple[float, float],
    share: bool = False,
    heights: Sequence[float] | None = None,
) -> Iterator[tuple[Figure, list[list[Axes]]]]:
    """Make a figure without pyplot, whose global state would leak into a notebook."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        ratios = None if heights is None else list(heights)
        axes = figure.subplots(rows, columns, sharex=share, squeeze=False, height_ratios=ratios)
        yield figure, axes.tolist()


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def gray(axis: Axes, picture: NDArray[np.float64], title: str) -> None:
    """Show a picture in [0, 1], ``(y, x)`` or ``(y, x, 3)``, under its title."""
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_title(title)
    axis.set_axis_off()


def _bar(figure: Figure, axes: list[Axes], scale: Scale, units: str) -> None:
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(ScalarMappable(cmap="gray"), ax=axes, fraction=0.03, pad=0.01)
    gray = np.linspace(0, 1, 5)
    bar.set_ticks(gray.tolist(), labels=[f"{value:.3g}" for value in scale.inverse(gray)])
    bar.ax.tick_params(labelsize=7.5, length=2)
    bar.outline.set_visible(False)
    bar.set_label(units)


def _spectrum(
    residual: NDArray[Any], measured: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Power of the residual in 16 rings of frequency up to 0.5; 1 for white noise of variance 1."""
    power = np.abs(np.fft.fft2(residual, norm="ortho")) ** 2
    power = power.reshape(-1, *residual.shape[-2:]).mean(0)
    components = 2 if np.iscomplexobj(residual) else 1
    power /= max(float(measured.mean()) * components, 1e-12)
    fy, fx = (np.fft.fftfreq(size) for size in residual.shape[-2:])
    ring = np.minimum((np.hypot(fy[:, None], fx) * 32).astype(int), 16)
    total, count = (np.bincount(ring.ravel(), w, 17)[:16] for w in (power.ravel(), None))
    filled = count > 0
    return (np.arange(16)[filled] + 0.5) / 32, total[filled] / count[filled]
