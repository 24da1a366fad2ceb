"""`rimaging validate`: a table on the terminal, a page, and an exit code on request."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rimaging.cli import app


@pytest.fixture
def sky(tmp_path: Path) -> Path:
    image = 10 + np.random.default_rng(0).standard_normal((72, 70))
    np.save(tmp_path / "sky.npy", image.astype(np.float32))
    return tmp_path / "sky.npy"


def test_a_table_a_page_and_strict(sky: Path) -> None:
    page = sky.with_suffix(".html")
    options = [str(sky), "--psf", "3", "--noise", "1", "--method", "wiener", "--quick"]
    result = CliRunner().invoke(app, ["validate", *options, "-o", str(page), "--strict"])
    assert result.exit_code == 1, result.output
    assert "star flux against magnitude" in result.output and "11  reconvolved" in result.output
    assert page.exists() and f"wrote {page}" in result.output
    again = CliRunner().invoke(app, ["validate", *options, "-o", str(page)])
    assert again.exit_code == 2 and "--overwrite" in again.output


def test_the_page_must_be_html(sky: Path) -> None:
    result = CliRunner().invoke(app, ["validate", str(sky), "--psf", "3", "-o", "x.fits"])
    assert result.exit_code == 2 and ".html" in result.output
