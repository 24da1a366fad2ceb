"""The canvas of every figure: its style and colours, and its way into the bytes of a PNG file."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
    """Show a picture in [0, 1], ``(y, x)`` or ``(y, x, 3)``, under its title of any lines."""
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_title(title)
    axis.set_axis_off()
