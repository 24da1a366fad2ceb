"""What a unit writes is there, whichever of its values are none, with any Zarr that is allowed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr

from rimaging.mosaic import store
from rimaging.mosaic.tiles import Grid


def test_a_unit_without_a_value_has_its_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # of Zarr 3.1.6 and later alone, which want NumPy 2
    monkeypatch.delattr(zarr.Array, "with_config", raising=False)
    grid = Grid(shape=(1, 24, 16), unit=(1, 8, 8), halo=0)
    store.create(tmp_path / "z", grid, ("SCI", "ERR"))
    units = list(grid)
    values = np.full(units[0].shape, np.nan, np.float32)
    with ThreadPoolExecutor(4) as threads:
        sizes = list(
            threads.map(
                lambda task: store.write(tmp_path / "z", *task, values),
                [(plane, unit) for plane in ("SCI", "ERR") for unit in units],
            )
        )
    assert min(sizes) > 0
    assert all(np.isnan(store.read(tmp_path / "z", "ERR", unit)).all() for unit in units)
    assert not zarr.config.get("array.write_empty_chunks")
