"""Frames share the maps of their average over time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rimaging.datasets.coil_maps import with_maps
from rimaging.datasets.frames import time_average, with_common_maps
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.simulate.coils import coil_profiles, normalise
from rimaging.errors import OptionError, ShapeError
from rimaging.operators.fourier import centred_fft

SIZE, FRAMES = 32, 4


def cine(slices: int = 0) -> Measurement:
    """A pulsing disc; every frame measures another fourth of the lines, none the centre."""
    generator = torch.Generator().manual_seed(0)
    maps, _ = normalise(coil_profiles(generator, 4, SIZE))
    axis = torch.linspace(-1, 1, SIZE)
    radius = torch.hypot(axis[:, None], axis)
    frames = torch.stack([(radius < 0.6 + 0.03 * t).to(maps.dtype) for t in range(FRAMES)])
    kspace = centred_fft(maps * frames[:, None])
    mask = torch.zeros(FRAMES, SIZE, SIZE)
    for t in range(FRAMES):
        mask[t, :, t::FRAMES] = 1
    kspace = kspace * mask[:, None]
    if slices:
        kspace = torch.stack([kspace * (1 + i) for i in range(slices)])
    return Measurement(kind="kspace", data=kspace, mask=mask, noise=1.0)


def test_the_average_has_what_any_frame_measured() -> None:
    measurement = cine()
    average = time_average(measurement)
    assert average.mask is not None and bool((average.mask == 1).all())
    expected = measurement.data.sum(dim=0)  # every sample was measured once
    assert torch.allclose(average.data, expected)
    twice = Measurement(
        kind="kspace", data=torch.cat([measurement.data, 3 * measurement.data]), noise=1.0
    )
    assert torch.allclose(time_average(twice).data, 2 * expected)


@pytest.mark.parametrize("slices", [0, 2])
def test_maps_are_those_of_the_average_and_one_for_all_frames(slices: int) -> None:
    measurement = cine(slices)
    found, sets = with_common_maps(measurement, sets=1)
    expected = with_maps(time_average(measurement), sets=1)[0].maps
    assert isinstance(found.maps, Tensor) and isinstance(expected, Tensor) and sets == 1
    shape = (slices, 1, 4, SIZE, SIZE) if slices else (4, SIZE, SIZE)
    assert found.maps.shape == shape
    assert torch.equal(found.maps.reshape(expected.shape), expected)
    assert "4 frames averaged" in found.provenance["assumed"][-1]
    assert found.data is measurement.data and found.noise == 1.0


def test_frames_in_front_of_slices_are_averaged_where_they_are_named() -> None:
    behind = cine(slices=2)
    turned = Measurement(
        kind="kspace",
        data=behind.data.transpose(0, 1),
        mask=behind.mask[:, None] if behind.mask is not None else None,
        noise=1.0,
        provenance={"axes": ["repetition", "slice"]},
    )
    assert torch.equal(time_average(turned).data, time_average(behind).data)
    found = with_common_maps(turned, sets=1)[0]
    expected = with_common_maps(behind, sets=1)[0].maps
    assert isinstance(found.maps, Tensor) and isinstance(expected, Tensor)
    assert found.maps.shape == (1, 2, 4, SIZE, SIZE)
    assert torch.equal(found.maps.transpose(0, 1), expected)
    assert found.provenance["axes"] == ["repetition", "slice"]


def test_given_maps_stay() -> None:
    measurement = cine()
    maps = torch.ones(4, SIZE, SIZE) + 0j
    given = Measurement(kind="kspace", data=measurement.data, maps=maps, noise=1.0)
    assert with_common_maps(given)[0].maps is maps


def test_what_has_no_frames_is_refused() -> None:
    single = Measurement(kind="kspace", data=cine().data[0], noise=1.0)
    with pytest.raises(ShapeError, match="frames"):
        with_common_maps(single)
    spokes = Measurement(
        kind="kspace",
        data=torch.ones(2, 4, 8, 16) + 0j,
        trajectory=torch.rand(8, 16, 2) - 0.5,
        noise=1.0,
    )
    with pytest.raises(OptionError, match="trajectory"):
        time_average(spokes)
