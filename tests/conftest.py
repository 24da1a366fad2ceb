"""Fixtures for every test: where the real data are, and how much a test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from rimaging.datasets import cards
from rimaging.errors import FormatError

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
        return cards.data_root()
    except FormatError as absent:
        pytest.skip(str(absent))
