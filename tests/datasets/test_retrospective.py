"""What was left out on purpose is named so."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rimaging.datasets.measurement import Measurement
from rimaging.datasets.retrospective import sampling, undersample
from rimaging.errors import DataError, ShapeError


def kspace() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 8, 10, generator=generator, dtype=torch.complex64)


def test_samples_are_kept_where_the_mask_is_one() -> None:
    mask = np.arange(10) % 2
    part = undersample(kspace().numpy(), mask)
    assert torch.equal(part.data, kspace() * torch.from_numpy(mask))
    assert part.provenance["sampling"] == "retrospective"
    assert part.mask is not None and torch.equal(part.mask.expand(8, 10)[0], torch.tensor(mask))
    assert sampling(part).provenance["sampling"] == "retrospective"


def test_a_measurement_keeps_its_mask_and_its_noise() -> None:
    own = torch.ones(8, 10)
    own[:, :3] = 0
    whole = Measurement(kind="kspace", data=kspace() * own, mask=own, noise=2.0, units="a.u.")
    mask = (torch.arange(8) % 2).float()[:, None].expand(8, 10)
    part = undersample(whole, mask)
    assert part.noise == 2.0 and part.units == "a.u."
    assert part.mask is not None and torch.equal(part.mask, own * mask)


def test_other_scans_are_prospective_or_full() -> None:
    assert sampling(Measurement(kind="kspace", data=kspace()).completed()).provenance[
        "sampling"
    ] == ("full")
    data = kspace()
    data[..., ::2] = 0
    measurement = Measurement(kind="kspace", data=data, noise=1.0).completed()
    assert sampling(measurement).provenance["sampling"] == "prospective"


def test_masks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError):
        undersample(kspace(), torch.ones(9))
    with pytest.raises(ShapeError):
        undersample(kspace()[0], torch.ones(4, 8, 10))
    with pytest.raises(DataError, match="0 and 1"):
        undersample(kspace(), torch.full((10,), 0.5))
    with pytest.raises(DataError, match="zero everywhere"):
        undersample(kspace(), torch.zeros(10))
