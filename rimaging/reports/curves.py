"""The curves of a training run."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from rimaging.errors import FormatError
from rimaging.reports.canvas import BLUE, GRAY, GREEN, ORANGE, figure_of, png
from rimaging.reports.files import write_whole


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
    write_whole(png_path, picture)
