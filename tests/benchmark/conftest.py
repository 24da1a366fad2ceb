"""Small weights without training, saved as those of `rimaging train`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rimaging.rim.config import RIMConfig
from rimaging.rim.rim import RIM
from rimaging.rim.weights import save_weights


def untrained(folder: Path, **settings: bool | int) -> str:
    torch.manual_seed(0)
    path = folder / "tiny.safetensors"
    config = RIMConfig(steps=1, fine=4, coarse=4, initial_iterations=2, **settings)  # type: ignore[arg-type]
    save_weights(RIM(config), path, {"name": "tiny"})
    return str(path)


@pytest.fixture
def real_weights(tmp_path: Path) -> str:
    return untrained(tmp_path)


@pytest.fixture
def complex_weights(tmp_path: Path) -> str:
    return untrained(tmp_path, complex=True)
