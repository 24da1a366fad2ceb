"""Pictures of reconstructions: strips with error maps, residuals, measured points.

Every figure comes back as the bytes of a PNG file. Images that are compared share one `Scale`.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rimaging.errors import ShapeError
from rimaging.reports.arrays import to_numpy
from rimaging.reports.canvas import BLUE, GRAY, GREEN, ORANGE, figure_of, gray, png
from rimaging.reports.scales import Kind, Scale, plane, scale_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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


LETTER, LINE = 0.08, 0.17
"""Width of a letter and height of a line of a title, in inches."""


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
    # beside others a long name would run over its neighbour's
    titles = {name: textwrap.fill(name, max(8, int(side / LETTER))) for name in shown}
    lines = max(title.count("\n") for title in titles.values())
    size = (side * columns + 0.9, (side * height / width + 0.3) * rows + LINE * lines)
    with figure_of(rows, columns, size) as (figure, axes):
        for column, (name, picture) in enumerate(shown.items()):
            gray(axes[0][column], scale(picture), titles[name])
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
