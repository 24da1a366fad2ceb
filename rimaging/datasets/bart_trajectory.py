"""BART's k-space along a trajectory: one pair of files for the samples, one for where they are.

BART has coordinates (kx, ky, kz) in cycles per field of view as its first dimension, and samples
(1, sample, shot, coil).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rimaging.datasets.bart import read_cfl
from rimaging.datasets.guard import identity
from rimaging.datasets.measurement import Measurement
from rimaging.errors import FormatError

__all__ = ["read_cfl_along", "read_cfl_trajectory"]


def read_cfl_trajectory(path: str | Path) -> Tensor:
    """Read coordinates (..., shot, sample, 2) in the order (ky, kx); 3, (kz, ky, kx), if any kz.

    Raises FormatError for a pair that is no trajectory.
    """
    array = read_cfl(path)
    if array.shape[-1] != 3 or bool(array.imag.any()):
        raise FormatError(
            f"the cfl has {' x '.join(map(str, array.shape[::-1]))} numbers, expected a trajectory "
            "(3, sample, shot) of real ones: give that of bart traj."
        )
    # (..., coil 1, shot, sample, 3)
    lead = tuple(n for n in array.shape[:-3] if n > 1)
    path_of = array.real.reshape(*lead, *array.shape[-3:])
    flat = not path_of[..., 2].any()
    return torch.from_numpy(
        np.ascontiguousarray(path_of[..., 1::-1] if flat else path_of[..., ::-1])
    )


def read_cfl_along(
    kspace: str | Path, trajectory: str | Path, *, image_shape: Sequence[int] | None = None
) -> Measurement:
    """Read k-space (..., coil, shot, sample) and its trajectory from two pairs of files.

    Raises FormatError for samples that are not in BART's order, ShapeError where the two disagree.
    """
    array = read_cfl(kspace)
    if array.shape[-1] != 1:
        raise FormatError(
            f"the cfl has {' x '.join(map(str, array.shape[::-1]))} samples, expected (1, sample, "
            "shot, coil) as bart nufft has them: without a trajectory it is Cartesian."
        )
    full = array.reshape((1,) * max(0, 4 - array.ndim) + array.shape)[..., 0]
    lead = tuple(n for n in full.shape[:-3] if n > 1)
    samples = torch.from_numpy(np.ascontiguousarray(full.reshape(*lead, *full.shape[-3:])))
    base = Path(kspace).expanduser()
    base = base.with_suffix("") if base.suffix in (".cfl", ".hdr") else base
    return Measurement(
        kind="kspace",
        data=samples,
        trajectory=read_cfl_trajectory(trajectory),
        matrix=None if image_shape is None else tuple(image_shape),
        provenance={"format": "BART cfl", "sha256": identity(base.parent / f"{base.name}.cfl")},
    )
