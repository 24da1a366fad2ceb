"""Fixtures for every test: where the real data are, and how much a test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from rimaging.datasets.data_card import data_root as find_data_root
from rimaging.errors import FormatError
from rimaging.rim.config import RIMConfig
from rimaging.rim.rim import RIM
from rimaging.rim.weights import save_weights

# Every run tries the same few examples, so that a failure is repeatable;
# `pytest --hypothesis-profile=search` looks further.
settings.register_profile("few", max_examples=15, deadline=None, derandomize=True)
settings.register_profile("search", max_examples=500, deadline=None)
settings.load_profile("few")

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers share the cores; threads of torch on top of them only wait for each other.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data: $RIMAGING_DATA, or shared/data beside the checkout."""
    try:
        return find_data_root()
    except FormatError as absent:
        pytest.skip(str(absent))


@pytest.fixture(scope="session")
def real_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of tiny untrained weights for real images."""
    return _tiny(RIMConfig(steps=2, fine=4, coarse=4, chebyshev=True), tmp_path_factory)


@pytest.fixture(scope="session")
def complex_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of tiny untrained weights for complex images."""
    config = RIMConfig(complex=True, steps=2, initial_iterations=3, fine=4, coarse=4)
    return _tiny(config, tmp_path_factory)


def _tiny(config: RIMConfig, factory: pytest.TempPathFactory) -> Path:
    path = factory.mktemp("weights") / "tiny.safetensors"
    torch.manual_seed(0)
    save_weights(RIM(config), path, {"name": "tiny"})
    return path
