"""The masks of the fastMRI challenge, bit for bit from its seeds.

Published code draws from numpy's legacy ``RandomState`` in a fixed order: first which pair of
centre fraction and acceleration, then the lines; so does this, from the same state. A mask of the
challenge is then known from the name of its file, whose characters are the seed.

Checked against what is published of the algorithms in `fastmri.data.subsample`, not by running
that package. Where the fraction of a magic mask leaves no line outside the centre, that package
fails; here the centre alone is measured.

Source: Zbontar et al., fastMRI, arXiv:1811.08839; magic: Defazio, arXiv:1912.01101.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rimaging.errors import OptionError

__all__ = ["FastMRIKind", "fastmri_mask"]

FastMRIKind = Literal["random", "equispaced", "equispaced-fraction", "magic", "magic-fraction"]


def fastmri_mask(
    size: int,
    kind: FastMRIKind = "random",
    *,
    center_fractions: Sequence[float] = (0.08,),
    accelerations: Sequence[int] = (4,),
    seed: int | Sequence[int] | str = 0,
    offset: int | None = None,
) -> Tensor:
    """The columns that fastMRI's mask function of this kind measures, bool ``(size,)``.

    kind, and the class of `fastmri.data.subsample` that it stands for:
        "random": RandomMaskFunc. "equispaced": EquiSpacedMaskFunc, spacing truly equal, the centre
        on top. "equispaced-fraction": EquispacedMaskFractionFunc (of old EquispacedMaskFunc), which
        keeps the acceleration but rounds a fractional spacing. "magic": MagicMaskFunc, lines on
        either side of the centre offset against each other. "magic-fraction":
        MagicMaskFractionFunc.
    size: number of columns. center_fractions, accelerations: pairs, one of which is drawn.
    seed: of ``RandomState.seed``; a file name stands for ``tuple(map(ord, name))``, the seed of
        the challenge's data transforms.
    offset: of the first line; drawn where it is None.

    Raises OptionError for an unknown kind, unpaired options, or a centre wider than the mask.
    """
    if kind not in get_args(FastMRIKind):
        raise OptionError(f"fastMRI mask {kind!r}: use one of {', '.join(get_args(FastMRIKind))}")
    if not 0 < len(center_fractions) == len(accelerations):
        raise OptionError(
            f"{len(center_fractions)} centre fractions for {len(accelerations)} accelerations: "
            "give as many of one as of the other"
        )
    draws = np.random.RandomState()
    draws.seed([ord(letter) for letter in seed] if isinstance(seed, str) else seed)
    choice = draws.randint(len(center_fractions))
    fraction, acceleration = center_fractions[choice], accelerations[choice]
    centre = round(size * fraction)
    if not 0 <= centre < size or acceleration < 1:
        raise OptionError(
            f"fastMRI mask of {size} columns with a centre of {centre} and acceleration "
            f"{acceleration}: the centre must be smaller than the mask, the acceleration 1 or more"
        )
    if kind == "magic-fraction":
        target = round(size / acceleration)
        centre = max(min(centre, target), 1)
        left = target - centre
        acceleration = round(size / left) if left > 0 else 0
    if kind == "random":
        lines = _random(size, acceleration, centre, draws)
    elif kind == "equispaced":
        first = draws.randint(0, high=round(acceleration)) if offset is None else offset
        lines = np.zeros(size, dtype=bool)
        lines[first::acceleration] = True
    elif kind == "equispaced-fraction":
        lines = _fraction(size, acceleration, centre, draws, offset)
    else:
        lines = _magic(size, acceleration, draws, offset)
    start = (size - centre + 1) // 2
    lines[start : start + centre] = True
    return torch.from_numpy(lines)


def _random(
    size: int, acceleration: int, centre: int, draws: np.random.RandomState
) -> NDArray[np.bool_]:
    """Each line by itself, so that ``size / acceleration`` are expected with the centre's."""
    chance = (size / acceleration - centre) / (size - centre)
    chosen: NDArray[np.bool_] = draws.uniform(size=size) < chance
    return chosen


def _fraction(
    size: int,
    acceleration: int,
    centre: int,
    draws: np.random.RandomState,
    offset: int | None,
) -> NDArray[np.bool_]:
    """A fractional spacing that makes up for the centre, rounded to lines."""
    surplus = centre * acceleration - size
    if surplus >= 0:
        raise OptionError(
            f"the centre of {centre} columns uses up all of {size} / {acceleration}: "
            "lower the centre fraction or the acceleration"
        )
    spacing = acceleration * (centre - size) / surplus
    first = draws.randint(0, high=round(spacing)) if offset is None else offset
    lines = np.zeros(size, dtype=bool)
    lines[np.around(np.arange(first, size - 1, spacing)).astype(np.uint)] = True
    return lines


def _magic(
    size: int, acceleration: int, draws: np.random.RandomState, offset: int | None
) -> NDArray[np.bool_]:
    """Equispaced on either side of the centre, shifted so that mirrored lines interleave."""
    lines = np.zeros(size, dtype=bool)
    if acceleration == 0:
        return lines
    first = draws.randint(0, high=acceleration) if offset is None else offset
    above, below = (first + 1, first + 2) if first % 2 == 0 else (first + 2, first - 1)
    half = (size + 1) // 2
    lines[:half][above::acceleration] = True
    lines[half:][::-1][below::acceleration] = True
    return np.fft.fftshift(lines)
