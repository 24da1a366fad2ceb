from __future__ import annotations

import numpy as np
import torch

from rimaging.datasets.losses import losses
from rimaging.datasets.measurement import Measurement

SHAPE = (3, 8, 6)
COMPLEX = np.ones(SHAPE, dtype=np.complex64)


def scan(affine: np.ndarray | None, **provenance: str) -> Measurement:
    kspace = torch.ones(3, 1, 8, 6, dtype=torch.complex64)
    return Measurement(kind="kspace", data=kspace, affine=affine, provenance=provenance)


def words(path: str, image: np.ndarray, measurement: Measurement | None = None) -> str:
    return "; ".join(losses(path, image, measurement))


def test_a_format_that_holds_everything_loses_nothing() -> None:
    assert losses("f.h5", COMPLEX, scan(np.eye(4))) == []
    assert losses("f.nii.gz", np.abs(COMPLEX), scan(np.eye(4))) == []
    assert losses("f.npz", COMPLEX) == []


def test_what_is_lost_is_said() -> None:
    assert "magnitude only" in words("f.nii", COMPLEX, scan(np.eye(4)))
    assert "magnitude only" in words("f.png", torch.from_numpy(COMPLEX))
    assert "no geometry" in words("f.npz", COMPLEX, scan(np.eye(4)))
    assert "no geometry" in words("f.nii", np.abs(COMPLEX), scan(None))
    assert "voxel sizes only" in words("f.nii", COMPLEX, scan(np.eye(4), geometry="sizes"))
    assert "15 bits" in words("dicom/", np.abs(COMPLEX), scan(np.eye(4)))
    sheared = np.eye(4)
    sheared[0, 2] = 0.4
    assert "perpendicular" in words("f.nii.gz", np.abs(COMPLEX), scan(sheared))
    assert "perpendicular" not in words("f.h5", np.abs(COMPLEX), scan(sheared))
