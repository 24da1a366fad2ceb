"""Shared step lengths: recorded once, and then tiles equal the whole."""

from __future__ import annotations

import pytest
import torch

from rimaging.errors import OptionError
from rimaging.operators.convolution import Convolution
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.target import gaussian_psf
from rimaging.rim.lengths import StepLengths
from rimaging.rim.rim import RIM, RIMConfig

PSF = gaussian_psf(2.0)[3:-3, 3:-3]


def sky(*shape: int) -> Gaussian:
    generator = torch.Generator().manual_seed(3)
    y = torch.randn(shape, generator=generator)
    y[..., 5::17, 3::19] += 40
    return Gaussian(Convolution(PSF, shape[-2:], "reflect"), y, 1.0)


@pytest.fixture
def rim() -> RIM:
    torch.manual_seed(0)
    config = RIMConfig(
        steps=1,
        fine=4,
        coarse=4,
        initial_iterations=2,
        newton_iterations=1,
        consistency_iterations=1,
    )
    return RIM(config).eval().requires_grad_(False)


def test_replaying_gives_what_was_recorded(rim: RIM) -> None:
    likelihood = sky(1, 40, 44)
    alone = rim(likelihood)[-1]
    recording = StepLengths()
    assert torch.allclose(rim(likelihood, lengths=recording)[-1], alone, atol=1e-5)
    assert recording.values.shape == (4, 2, 1)
    again = rim(likelihood, lengths=StepLengths(recording.values))[-1]
    assert torch.allclose(again, alone, atol=1e-5)


def test_parts_are_joined_and_channels_are_not(rim: RIM) -> None:
    recording = StepLengths()
    rim(sky(5, 3, 24, 24), lengths=recording)
    assert recording.values.shape == (4, 2, 3)


def test_a_tile_equals_the_whole_with_shared_lengths_only(rim: RIM) -> None:
    whole = sky(1, 200, 48)
    recording = StepLengths()
    full = rim(whole, lengths=recording)[-1]
    tile = Gaussian(Convolution(PSF, (120, 48), "reflect"), whole.y[:, :120], 1.0)
    part = rim(tile, lengths=StepLengths(recording.values))[-1]
    reach = 88  # more than every filter of this network together
    assert torch.allclose(part[:, : 120 - reach], full[:, : 120 - reach], atol=2e-5)
    alone = rim(tile)[-1]
    assert not torch.allclose(alone[:, : 120 - reach], full[:, : 120 - reach], atol=2e-5)


def test_more_steps_than_were_recorded_are_refused(rim: RIM) -> None:
    likelihood = sky(1, 24, 24)
    recording = StepLengths()
    rim(likelihood, lengths=recording)
    with pytest.raises(OptionError, match="same weights and steps"):
        rim(likelihood, steps=2, lengths=StepLengths(recording.values))
