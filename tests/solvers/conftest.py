"""A real undersampled scan that the MRI solvers share."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor


class Scan(NamedTuple):
    kspace: Tensor
    mask: Tensor
    maps: Tensor


@pytest.fixture(scope="session")
def brain(data_root: Path) -> Scan:
    """The middle (8, 56, 46) of an 8-channel brain, Poisson disc, with sigpy's ESPIRiT maps."""
    from sigpy.mri.app import EspiritCalib

    full = np.load(data_root / "mri/multicoil/brain_8ch_poisson_sigpy.npz")["ksp"]
    kspace = full[:, 87:143, 67:113].copy()
    maps = EspiritCalib(kspace, calib_width=20, crop=0.8, show_pbar=False).run()
    measured = torch.from_numpy(kspace)
    return Scan(measured, (measured.abs().sum(0) > 0).float(), torch.from_numpy(maps))
