"""Frames share the maps of their average over time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rimaging.datasets.coil_maps import with_maps
from rimaging.datasets.frames import time_average, with_common_maps
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.simulate.coils import coil_profiles, normalise
from rimaging.errors import ShapeError
from rimaging.operators.fourier import centred_fft
from rimaging.operators.nufft import NUFFT
from rimaging.operators.trajectories import radial

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
        kind="kspace", data=single.data, trajectory=radial((SIZE, SIZE), SIZE, SIZE)
    )
    with pytest.raises(ShapeError, match="frame, coil, shot, sample"):
        time_average(spokes)


@pytest.mark.parametrize("slices", [0, 2])
@pytest.mark.parametrize("own", [True, False])
def test_frames_along_a_trajectory_share_the_maps_of_all_their_shots(
    slices: int, own: bool
) -> None:
    """Of golden-angle frames, each too few spokes for maps of its own."""
    generator = torch.Generator().manual_seed(0)
    maps, _ = normalise(coil_profiles(generator, 4, SIZE))
    radius = torch.hypot(*torch.meshgrid(*2 * [torch.linspace(-1, 1, SIZE)], indexing="ij"))
    picture = (radius < 0.7).to(maps.dtype)
    count = 5 if own else 20
    k = torch.stack(
        [radial((SIZE, SIZE), count, angles="golden", first=own * count * t) for t in range(FRAMES)]
    )
    seen = NUFFT(k.flatten(1, 2).unsqueeze(1), (SIZE, SIZE))(maps * picture)
    kspace = seen.unflatten(-1, (count, -1))  # (frame, coil, shot, sample)
    if slices:
        kspace = torch.stack([kspace * (1 + i) for i in range(slices)], dim=1)
        k = k[:, None]
    film = Measurement(
        kind="kspace",
        data=kspace,
        trajectory=k if own else k[0],
        matrix=(SIZE, SIZE),
        noise=1e-3,
        provenance={"axes": ["repetition", "slice"][: 1 + (slices > 0)]},
    )
    found, _ = with_common_maps(film, sets=1)
    lead = (1, slices) if slices else ()
    assert isinstance(found.maps, Tensor) and found.maps.shape == (*lead, 4, SIZE, SIZE)
    assert found.data is film.data and found.trajectory is film.trajectory
    # the phase of a map is free
    inside = radius < 0.6
    alike = (found.maps.conj() * maps).sum(-3).abs()[..., inside]
    assert float(alike.min()) > 0.99
    assert "4 frames averaged" in found.provenance["assumed"][-1]
