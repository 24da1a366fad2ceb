"""fastMRI's masks from their seeds, against a transcription in numpy of what is published."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rimaging.datasets.simulate.fastmri_masks import fastmri_mask
from rimaging.errors import OptionError

PAIRS = {"center_fractions": (0.08, 0.04), "accelerations": (4, 8)}
SEEDS = [0, 1, 42, "file1000000.h5", (3, 1, 4)]


def start(seed):
    state = np.random.RandomState(0)
    state.seed(tuple(map(ord, seed)) if isinstance(seed, str) else seed)
    pick = state.randint(2)
    return state, PAIRS["center_fractions"][pick], PAIRS["accelerations"][pick]


def with_centre(mask, low):
    pad = (len(mask) - low + 1) // 2
    mask[pad : pad + low] = 1
    return mask.astype(bool)


def random(n, seed):
    state, fraction, acceleration = start(seed)
    low = round(n * fraction)
    return with_centre(state.uniform(size=n) < (n / acceleration - low) / (n - low), low)


def equispaced(n, seed):
    state, fraction, acceleration = start(seed)
    first = state.randint(0, acceleration)
    return with_centre(
        (np.arange(n) >= first) & ((np.arange(n) - first) % acceleration == 0), round(n * fraction)
    )


def equispaced_fraction(n, seed):
    state, fraction, acceleration = start(seed)
    low = round(n * fraction)
    step = (acceleration * (low - n)) / (low * acceleration - n)
    first = state.randint(0, round(step))
    mask = np.zeros(n)
    at = first
    for i in range(n):
        at = first + i * step
        if at >= n - 1:
            break
        mask[int(np.around(at))] = 1
    return with_centre(mask, low)


def magic(n, seed, fraction_kind=False):
    state, fraction, acceleration = start(seed)
    low = round(n * fraction)
    if fraction_kind:
        target = round(n / acceleration)
        low = max(min(low, target), 1)
        acceleration = round(n / (target - low))
    first = state.randint(0, acceleration)
    right, left = (first + 1, first + 2) if first % 2 == 0 else (first + 2, first - 1)
    mask = np.zeros(n)
    half = (n + 1) // 2
    for i in range(half):  # frequency i: unshifted index i
        mask[i] = i >= right and (i - right) % acceleration == 0
    for i in range(n - half):  # frequency -1-i: unshifted index n-1-i
        mask[n - 1 - i] = i >= left and (i - left) % acceleration == 0
    return with_centre(np.fft.fftshift(mask), low)


TRANSCRIBED = {
    "random": random,
    "equispaced": equispaced,
    "equispaced-fraction": equispaced_fraction,
    "magic": magic,
    "magic-fraction": lambda n, seed: magic(n, seed, True),
}


@pytest.mark.parametrize("kind", TRANSCRIBED)
@pytest.mark.parametrize("size", [320, 368, 171])
def test_every_bit_is_that_of_the_published_algorithm(kind, size):
    seen = set()
    for seed in SEEDS:
        mask = fastmri_mask(size, kind, **PAIRS, seed=seed)
        assert np.array_equal(mask.numpy(), TRANSCRIBED[kind](size, seed))
        assert torch.equal(mask, fastmri_mask(size, kind, **PAIRS, seed=seed))
        seen.add(tuple(mask.tolist()))
    assert len(seen) > 1


def test_a_known_mask_of_numpy_alone():
    state = np.random.RandomState(7)
    state.randint(1)
    expected = state.uniform(size=20) < (20 / 4 - 2) / 18
    expected[9:11] = True
    assert np.array_equal(fastmri_mask(20, center_fractions=[0.1], seed=7).numpy(), expected)


def test_equispaced_is_equispaced_and_its_offset_is_kept():
    mask = fastmri_mask(320, "equispaced", center_fractions=[0.0], accelerations=[5], offset=3)
    assert set(mask.nonzero()[:, 0].diff().tolist()) == {5} and mask[3] and not mask[:3].any()


def test_fractions_keep_the_acceleration():
    for kind in ("equispaced-fraction", "magic-fraction"):
        share = fastmri_mask(320, kind, center_fractions=[0.08], accelerations=[4]).float().mean()
        assert 1 / float(share) == pytest.approx(4, rel=0.1)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(OptionError, match="use one of"):
        fastmri_mask(320, "spiral")
    with pytest.raises(OptionError, match="as many"):
        fastmri_mask(320, center_fractions=[0.1], accelerations=[4, 8])
    with pytest.raises(OptionError, match="smaller"):
        fastmri_mask(320, center_fractions=[1.0])
    with pytest.raises(OptionError, match="uses up"):
        fastmri_mask(320, "equispaced-fraction", center_fractions=[0.3])
