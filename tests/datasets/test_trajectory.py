from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rimaging.datasets.measurement import Measurement
from rimaging.datasets.pieces import pieces
from rimaging.datasets.trajectory import (
    estimate_trajectory_noise,
    resolved_matrix,
    with_shots,
)
from rimaging.errors import DataError, OptionError, RimagingError, ShapeError
from rimaging.operators.noncartesian import NonCartesianMRI
from rimaging.operators.trajectories import radial, spiral

K = radial((12, 10), 4, 24)


def data(*batch: int, coils: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn((*batch, coils, 4, 24), generator=generator, dtype=torch.complex64)


def scan(*batch: int, **fields: Any) -> Measurement:
    return Measurement(kind="kspace", **{"data": data(*batch), "trajectory": K, **fields})


def test_samples_without_shots_get_one() -> None:
    kspace, k = with_shots(torch.zeros(3, 2, 9), torch.zeros(9, 2))
    assert kspace.shape == (3, 2, 1, 9) and k.shape == (1, 9, 2)
    assert with_shots(data(), K)[1] is K


def test_the_image_is_as_large_as_the_trajectory_goes_out_or_the_maps_are() -> None:
    assert scan(3).image_shape == (3, 12, 10)
    assert scan(matrix=(16, 14)).image_shape == (16, 14)
    assert scan(maps=torch.ones(2, 16, 20) + 0j).matrix == (16, 20)
    assert scan(data=data(coils=1)).completed().maps.shape == (1, 12, 10)  # type: ignore[union-attr]


def test_cycles_per_pixel_become_cycles_per_field_of_view() -> None:
    per_pixel = K / torch.tensor([12, 10])
    m = scan(trajectory=per_pixel, matrix=(12, 10))
    assert m.trajectory is not None
    torch.testing.assert_close(m.trajectory, K)
    guessed = scan(trajectory=per_pixel)
    assert guessed.matrix is None
    whole = guessed.completed()
    assert whole.matrix == guessed.image_shape
    assert any("as finely as" in note for note in whole.provenance["assumed"])


@pytest.mark.parametrize("known", ["maps", "matrix", "nothing"])
def test_radians_are_refused_whatever_says_the_size(known: str) -> None:
    """In cycles per field of view they would be the middle of k-space alone."""
    given: dict[str, Any] = {
        "maps": {"maps": torch.ones(2, 24, 20) + 0j}, "matrix": {"matrix": (24, 20)}, "nothing": {}
    }[known]  # fmt: skip
    for k in (radial((1, 1), 4, 24), radial((1, 1), 4, 24, angles="golden", first=3)):
        scan(trajectory=k, **given)
        with pytest.raises(DataError, match="divide radians by 2 pi"):
            scan(trajectory=2 * torch.pi * k, **given)
    # what an image of six pixels has is sound
    scan(trajectory=radial((6, 6), 4, 24))
    scan(trajectory=radial((6, 6), 4, 24), **given)


@pytest.mark.parametrize("size", [96, 256])
def test_what_a_trajectory_resolves(size: int) -> None:
    assert resolved_matrix(spiral((size, size), 12) / size) == (size, size)
    assert resolved_matrix(radial((size, size), 20, size) / size) == (size, size)


@settings(max_examples=8)
@given(sigma=st.floats(0.1, 100), coils=st.integers(1, 4))
def test_noise_alone_is_found_again(sigma: float, coils: int) -> None:
    k = radial((40, 50), 40, 100)
    generator = torch.Generator().manual_seed(1)
    noise = sigma * torch.randn((coils, 40, 100, 2), generator=generator)
    found = estimate_trajectory_noise(torch.view_as_complex(noise), k)
    assert found == pytest.approx(sigma, rel=0.2)


def test_the_likelihood_is_of_the_trajectory_in_one_piece_or_many() -> None:
    maps = torch.ones(3, 2, 12, 10) + 0j
    own = torch.stack([K, K.flip(0), K / 2])
    whole = scan(3, maps=maps, trajectory=own, density=torch.ones(3, 4, 24), matrix=(12, 10))
    likelihood = whole.likelihood()
    assert isinstance(likelihood.operator, NonCartesianMRI)
    score = likelihood.score(likelihood.zeros())
    parts = [
        part.likelihood().score(torch.zeros(len(part.data), 12, 10) + 0j)
        for part in pieces(whole.completed(), 1)
    ]
    torch.testing.assert_close(
        torch.cat(parts), score, rtol=1e-4, atol=1e-3 * float(score.abs().max())
    )


def test_volumes_have_maps_of_volumes() -> None:
    k = torch.rand(4, 24, 3) * 4
    k[0, 0] = 4
    m = scan(2, trajectory=k, maps=torch.ones(2, 8, 8, 8) + 0j)
    assert m.image_shape == (2, 8, 8, 8)
    assert m.likelihood().zeros().shape == (2, 8, 8, 8)


REFUSED: dict[str, tuple[type[RimagingError], str, dict[str, Any]]] = {
    "a mask": (OptionError, "leave out", {"mask": torch.ones(4, 24)}),
    "no trajectory": (OptionError, "trajectory=", {"trajectory": None, "matrix": (12, 10)}),
    "of a picture": (OptionError, "only k-space", {"kind": "image"}),
    "other samples": (ShapeError, "4, 24, 2", {"trajectory": K[:, :20]}),
    "other items": (ShapeError, "leading axes", {"trajectory": K.expand(5, 4, 24, 2)}),
    "radians per pixel": (DataError, "cycles per pixel", {"trajectory": K / 10}),
    "a small image": (DataError, "larger image", {"matrix": (8, 8)}),
    "a volume": (ShapeError, "2 coordinates", {"matrix": (4, 12, 10)}),
    "another density": (ShapeError, "one weight", {"density": torch.ones(24)}),
    "a negative density": (DataError, "areas", {"density": -torch.ones(4, 24)}),
    "other maps": (ShapeError, "expected", {"maps": torch.ones(3, 12, 10) + 0j}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case: str) -> None:
    kind, words, fields = REFUSED[case]
    with pytest.raises(kind, match=words):
        Measurement(**{"kind": "kspace", "data": data(), "trajectory": K, **fields})


def test_noise_free_samples_have_no_noise() -> None:
    with pytest.raises(DataError, match="noise-free"):
        estimate_trajectory_noise(torch.zeros(2, 4, 24) + 0j, K)
