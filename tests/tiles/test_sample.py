"""A sample of a sky: of each channel by itself, in memory that does not grow with their number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rimaging import mosaics
from rimaging.errors import DataError
from rimaging.mosaic.sources import Slices
from rimaging.mosaic.task import unpack
from rimaging.tiles.processor import BATCH
from rimaging.tiles.sample import LARGEST, LEAST, SAMPLES, channel_groups, places, sample

SIZES = st.integers(1, 9000)


@given(st.integers(1, 5000), SIZES, SIZES)
def test_groups_hold_every_channel_once_and_no_more_than_is_computed_at_once(
    channels: int, height: int, width: int
) -> None:
    shape = (channels, height, width)
    groups = channel_groups(shape)
    assert [c for own in groups for c in range(own.start, own.stop)] == list(range(channels))
    parts = places(shape)
    for rows, columns in parts:
        assert 0 <= rows.start < rows.stop <= height and 0 <= columns.start < columns.stop <= width
        assert rows.stop - rows.start <= LARGEST
    area = (parts[0][0].stop - parts[0][0].start) * (parts[0][1].stop - parts[0][1].start)
    largest = max(own.stop - own.start for own in groups)
    assert len(parts) <= SAMPLES and SAMPLES * area * largest <= max(BATCH, SAMPLES * LEAST**2)


def test_what_is_rare_is_looked_for() -> None:
    data = np.full((1, 2000, 2000), np.nan, np.float32)
    data[0, 700:1000, 900:1200] = 1.0
    hits = sample(lambda place: data[place], (1, 2000, 2000), slice(0, 1))
    assert hits and all(np.isfinite(block).any() for block, _ in hits)

    def nothing(place: Slices) -> np.ndarray:
        return np.full([part.stop - part.start for part in place], np.nan, np.float32)

    assert sample(nothing, (1, 2000, 2000), slice(0, 1)) == []


def test_a_channel_is_sampled_by_itself(
    stars: np.ndarray, tmp_path: Path, real_weights: Path
) -> None:
    sky = mosaics.Sky(
        image=tmp_path / "sky.npy", psf=2.0, target=1.2, weights=real_weights, tile=80, halo="exact"
    )
    np.save(tmp_path / "sky.npy", stars * np.array([1, 3])[:, None, None])
    both = mosaics.recipe(sky).task.settings
    for channel in (0, 1):
        np.save(tmp_path / "one.npy", stars[channel] * (1, 3)[channel])
        one = mosaics.recipe(replace(sky, image=tmp_path / "one.npy")).task.settings
        for name in ("level", "factor", "scale"):
            assert np.allclose(unpack(one[name])[..., 0], unpack(both[name])[..., channel], 1e-5)
    np.save(tmp_path / "empty.npy", stars * np.nan)
    with pytest.raises(DataError, match="only NaN"):
        mosaics.recipe(replace(sky, image=tmp_path / "empty.npy"))


def test_zeros_around_a_narrow_footprint_are_looked_past() -> None:
    data = np.zeros((1, 2000, 2000), np.float32)
    data[:, :, 1500:1700] = np.random.default_rng(0).normal(size=(1, 2000, 200))
    hits = sample(lambda place: data[place], (1, 2000, 2000), slice(0, 1))
    assert hits and all(part.any() for part, _ in hits)
    data[:] = 0  # nothing but zeros: they are what there is
    assert len(sample(lambda place: data[place], (1, 2000, 2000), slice(0, 1))) == 16
