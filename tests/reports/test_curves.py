"""Curves are drawn from what a training wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from rimaging.errors import FormatError
from rimaging.reports.curves import plot_curves


def test_curves_of_a_training_with_gaps(tmp_path: Path) -> None:
    lines = ["step,train_loss,psnr,seconds"]
    lines += [f"{i},{1 / (i + 1)},{20 + i if i % 2 else ''},{i}" for i in range(10)]
    table, picture = tmp_path / "log.csv", tmp_path / "curves.png"
    table.write_text("\n".join(lines))
    plot_curves(table, picture)
    assert Image.open(picture).height > 400
    assert sorted(tmp_path.iterdir()) == [picture, table]
    table.write_text("step,seconds\n1,2\n")
    with pytest.raises(FormatError, match="loss or psnr"):
        plot_curves(table, picture)
