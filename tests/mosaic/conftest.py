"""Runs that take milliseconds: a small image, a cheap local function."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rimaging.mosaic.folder import Recipe
from rimaging.mosaic.sources import describe
from rimaging.mosaic.task import Task
from rimaging.mosaic.tiles import Grid

HERE = str(Path(__file__).parent)


@pytest.fixture(autouse=True, scope="session")
def importable() -> Iterator[None]:
    """Let workers, who are told our sys.path, import tests/mosaic/cheap.py."""
    sys.path.insert(0, HERE)
    yield
    sys.path.remove(HERE)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A file of 2 x 100 x 136 values."""
    values = np.random.default_rng(5).normal(size=(2, 100, 136)).astype(np.float32)
    np.save(tmp_path / "in.npy", values)
    return tmp_path / "in.npy"


@pytest.fixture
def recipe(image: Path, tmp_path: Path) -> Callable[..., Recipe]:
    """A run over the image: 12 units of 1 x 48 x 72, noting each unit that is begun."""

    def make(**settings: Any) -> Recipe:
        source = describe(image)
        task = Task("cheap:blur", {"radius": 3, "log": str(tmp_path / "log"), **settings})
        return Recipe(source, Grid((2, 100, 136), (1, 48, 72), 8), task)

    return make
