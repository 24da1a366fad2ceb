"""The scans of the MRI tables: a real brain, fully sampled, and simulated ones."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rimaging.datasets.coil_maps import CROP
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.npz import load_arrays
from rimaging.datasets.simulate.distributions import Parameter
from rimaging.datasets.simulate.kspace import KSpace
from rimaging.datasets.simulate.masks import poisson_disc, random_lines
from rimaging.errors import OptionError
from rimaging.operators.cartesian import CartesianMRI
from rimaging.operators.espirit import espirit
from rimaging.solvers.zero_filled import zero_filled

BRAIN = "mri/multicoil/brain_alias_8ch.npz"
CALIBRATION = 24

PATTERNS = {
    "lines4": "4x variable-density lines, 20 of them calibration",
    "poisson4": "4x variable-density Poisson disc, calibration 24 x 24",
    "poisson8": "8x variable-density Poisson disc, calibration 20 x 20",
}
SIMULATED: dict[str, Parameter] = {
    "coils": 8.0,
    "acceleration": 4.0,
    "pattern": "poisson-disc",
    "full": 0.0,
    "snr": 30.0,
    "scale": 1.0,
    "photographs": 0.0,
    "complex": 0.0,
    "support": 0.0,
    "map_error": 0.0,
}
SIDE = 160


@dataclass(frozen=True)
class Scan:
    """What every method is given, and the real ``reference (y, x)`` that none is."""

    kspace: Tensor
    mask: Tensor
    maps: Tensor
    reference: Tensor
    sets: bool
    seconds: float = 0.0
    """What the estimation of the maps took."""
    full: bool = False
    """Whether ``kspace`` holds what lies outside the mask as well."""

    def measured(self, sigma: float) -> Measurement:
        """What a method is given."""
        return Measurement(
            kind="kspace",
            data=self.kspace * self.mask,
            mask=self.mask,
            maps=self.maps,
            noise=sigma,
        ).completed()


def real(data: Path, pattern: str, sets: int) -> Scan:
    """The real brain within its measured columns, undersampled; maps from what is left."""
    kspace = measured_columns(torch.from_numpy(load_arrays(data / BRAIN)["ksp"].copy()))
    size = (kspace.shape[-2], kspace.shape[-1])
    mask = real_mask(pattern, size)
    start = time.perf_counter()
    maps = espirit(kspace * mask, mask, calibration=CALIBRATION, crop=CROP, sets=sets)
    seconds = time.perf_counter() - start
    reference = zero_filled(kspace, torch.ones(size))
    return Scan(kspace, mask, maps, reference, sets == 2, seconds, full=True)


def measured_columns(kspace: Tensor) -> Tensor:
    """Cut ``(coil, y, x)`` to the columns that were measured, symmetric about DC."""
    columns = torch.nonzero((kspace != 0).any(dim=0).any(dim=0))[:, 0]
    centre = kspace.shape[-1] // 2
    half = max(centre - int(columns[0]), int(columns[-1]) + 1 - centre)
    return kspace[..., centre - half : centre + half].contiguous()


def real_mask(pattern: str, size: tuple[int, int]) -> Tensor:
    """The mask ``(y, x)`` of a pattern of `PATTERNS`, always the same.

    Raises OptionError for another pattern.
    """
    if pattern == "lines4":
        generator = torch.Generator().manual_seed(0)
        mask = random_lines(size[1], 4, 20, generator, decay=2.0).expand(size).contiguous()
    elif pattern == "poisson4":
        mask = poisson_disc(size, 4, 24, 1.0, seed=0)
    elif pattern == "poisson8":
        mask = poisson_disc(size, 8, 20, 1.0, seed=0)
    else:
        raise OptionError(f"pattern {pattern!r} is unknown: use one of {', '.join(PATTERNS)}")
    return mask.float()


def simulated(data: Path, index: int, side: int = SIDE) -> Scan:
    """A slice of the test split, k-space of 8 coils simulated, its true maps given."""
    sampler = KSpace(SIMULATED, data, "test")
    likelihood, truth = sampler(torch.Generator().manual_seed(index), 1, side)
    operator = likelihood.operator
    assert isinstance(operator, CartesianMRI)
    mask = operator.mask[0, 0].float()
    return Scan(likelihood.y[0], mask, operator.maps[0], truth[0].abs(), sets=False)
