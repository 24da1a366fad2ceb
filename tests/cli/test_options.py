"""How the texts and files of options become values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rimaging.cli.options import read_mask

MASK = np.random.default_rng(0).random((6, 5)) > 0.4


@pytest.mark.parametrize("largest", [1, 127, 255])
@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_a_mask_is_one_where_it_is_largest(tmp_path: Path, largest: int, suffix: str) -> None:
    path = tmp_path / f"mask{suffix}"
    values = (largest * MASK).astype(np.uint8)
    if suffix == ".npy":
        np.save(path, values)
    else:
        Image.fromarray(values).save(path)
    found = read_mask(str(path))
    assert found is not None and np.array_equal(found.numpy(), MASK)


def test_a_mask_of_nothing_stays_one_of_nothing(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((6, 5), np.uint8)).save(tmp_path / "mask.png")
    found = read_mask(str(tmp_path / "mask.png"))
    assert found is not None and not found.any()
