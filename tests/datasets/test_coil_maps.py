"""Coil maps of a measurement: given or estimated, one set or two as the data have it."""

from pathlib import Path

import pytest
import torch

from rimaging.datasets.coil_maps import needs_two_sets, with_maps
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.npz import load_arrays
from rimaging.datasets.simulate.coils import coil_profiles, normalise
from rimaging.datasets.simulate.kspace import ellipse
from rimaging.datasets.simulate.scan import fold
from rimaging.errors import DataError, ShapeError
from rimaging.operators.fourier import Fourier


def scan(folded: bool, coils: int = 6, side: int = 64, slices: int = 1) -> Measurement:
    """An ellipse with texture, wider than its field of view or not."""
    generator = torch.Generator().manual_seed(3)
    wide = round(1.5 * side) if folded else side
    maps, _ = normalise(coil_profiles(generator, coils, wide))
    image = ellipse(generator, wide) * (1 + 0.3 * torch.randn(wide, wide, generator=generator))
    k = Fourier((side, side))(fold(maps * image, side))
    k = k + 0.02 * torch.randn(k.shape, generator=generator, dtype=k.dtype)
    return Measurement(kind="kspace", data=k.expand(slices, *k.shape).clone()).completed()


@pytest.mark.parametrize(("folded", "expected"), [(True, 2), (False, 1)])
def test_sets_are_as_the_data_have_it(folded: bool, expected: int) -> None:
    found, sets = with_maps(scan(folded))
    assert sets == expected
    assert found.maps is not None
    wanted = (1, 2, 6, 64, 64) if expected == 2 else (1, 6, 64, 64)
    assert tuple(found.maps.shape) == wanted
    assert ("two sets" in found.provenance["assumed"][-1]) == folded


def test_one_folded_slice_decides_for_all() -> None:
    wide, narrow = scan(True), scan(False)
    both = Measurement(kind="kspace", data=torch.cat([narrow.data, wide.data])).completed()
    assert with_maps(both)[1] == 2


def test_the_user_overrules_the_data() -> None:
    for wanted in (1, 2):
        assert with_maps(scan(True), sets=wanted)[1] == wanted


def test_real_heads(data_root) -> None:
    for name, expected in (("brain_alias_8ch", 2), ("brain_8ch_poisson_sigpy", 1)):
        k = torch.from_numpy(load_arrays(data_root / f"mri/multicoil/{name}.npz")["ksp"].copy())
        assert with_maps(Measurement(kind="kspace", data=k).completed())[1] == expected


@pytest.mark.parametrize("block", [(24, 6), (24, 8), (8, 24), (8, 8), (24, 9), (9, 9)])
def test_a_narrow_calibration_region_has_maps_of_all_of_the_object(
    data_root: Path, block: tuple[int, int]
) -> None:
    """Those of the whole k-space, but for what so few samples cannot tell."""
    k = load_arrays(data_root / "mri/multicoil/brain_8ch_poisson_sigpy.npz")["ksp"]
    middle = [
        slice(n // 2 - b // 2, n // 2 - b // 2 + b) for n, b in zip((230, 180), block, strict=True)
    ]
    low = torch.zeros(8, 230, 180, dtype=torch.complex64)
    low[:, middle[0], middle[1]] = torch.from_numpy(k[:, middle[0], middle[1]].copy())
    whole = torch.from_numpy(k.copy())
    narrow, wide = (
        with_maps(Measurement(kind="kspace", data=data, mask=mask, noise=1.0), sets=1)[0].maps
        for data, mask in ((low, (low != 0).any(0).float()), (whole, (whole != 0).any(0).float()))
    )
    assert narrow is not None and wide is not None
    head = (wide != 0).any(0)
    alike = (narrow.conj() * wide).sum(0).abs()[head]
    assert float((alike > 0.9).float().mean()) > 0.94


def test_maps_that_came_say_their_sets() -> None:
    one = scan(False)
    maps = torch.ones(2, 6, 64, 64, dtype=torch.complex64) / 6**0.5
    given = Measurement(kind="kspace", data=one.data[0], maps=maps, noise=1.0).completed()
    assert with_maps(given)[1] == 2
    assert with_maps(given, sets=2)[0] is given
    single = Measurement(kind="kspace", data=one.data[0], maps=maps[0], noise=1.0).completed()
    assert with_maps(single)[1] == 1
    with pytest.raises(ShapeError, match="sets=2 needs maps"):
        with_maps(single, sets=2)


def test_a_threshold_of_eigenvalues() -> None:
    first = torch.ones(64, 64)
    second = torch.zeros(64, 64)
    assert not needs_two_sets(torch.stack([first, second]))
    second[:, :2] = 0.95  # 3 %
    assert not needs_two_sets(torch.stack([first, second]))
    second[:, :6] = 0.95
    assert needs_two_sets(torch.stack([first, second]))
    assert not needs_two_sets(torch.stack([0 * first, second]))


def test_no_middle_no_maps() -> None:
    data = scan(False).data.clone()
    data[..., 30:35] = 0
    with pytest.raises(DataError, match="fully sampled middle"):
        with_maps(Measurement(kind="kspace", data=data).completed())


def test_frames_without_a_middle_are_told_how_they_get_one() -> None:
    data = scan(False).data.clone()
    data[..., 30:35] = 0
    with pytest.raises(DataError, match=r"coils$"):
        with_maps(Measurement(kind="kspace", data=data).completed())
    film = Measurement(kind="kspace", data=torch.stack([data, data])).completed()
    with pytest.raises(DataError, match=r"frames=True \(--frames\)"):
        with_maps(film)
