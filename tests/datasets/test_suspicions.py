from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch

from rimaging.datasets.measurement import Measurement
from rimaging.datasets.open import open
from rimaging.datasets.sources import as_measurement
from rimaging.datasets.suspicions import check_coil_axis, look_over
from rimaging.errors import DataError, ShapeError
from rimaging.operators.fourier import centred_fft, centred_ifft


def images(*lead: int, size: tuple[int, int] = (48, 40)) -> torch.Tensor:
    """An ellipse with structure, in air, seen by coils."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in size), indexing="ij")
    body = ((y / 0.7) ** 2 + ((x - 0.1) / 0.6) ** 2 < 1).float()
    body = body * (1 + 0.5 * torch.sin(9 * x) * torch.cos(7 * y))
    generator = torch.Generator().manual_seed(0)
    gain = torch.randn(*lead, 1, 1, generator=generator, dtype=torch.complex64)
    slope = torch.rand(*lead, 1, 1, generator=generator)
    return body * gain * (1 + slope * x)


def kspace(*lead: int, size: tuple[int, int] = (48, 40)) -> torch.Tensor:
    return centred_fft(images(*lead, size=size))


def looked(data: torch.Tensor, mask: torch.Tensor | None = None) -> Measurement:
    return look_over(Measurement(kind="kspace", data=data, mask=mask))


def test_sound_kspace_passes_as_it_is() -> None:
    for data in (kspace(4), kspace(3, 4), kspace(1)):
        m = Measurement(kind="kspace", data=data)
        assert look_over(m) is m
        check_coil_axis(data)


@pytest.mark.parametrize("shape", [(48, 48), (47, 45), (48, 45)])
@pytest.mark.parametrize("axes", [(-2, -1), (-1,), (-2,)])
def test_zero_frequency_in_a_corner_is_moved(shape: tuple[int, int], axes: tuple[int, ...]) -> None:
    data = kspace(3, size=shape)
    m = looked(torch.fft.ifftshift(data, axes))
    assert "fftshift" in m.provenance["assumed"][0]
    torch.testing.assert_close(m.data, data, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(48, 48), (47, 45)])
def test_an_fft_without_any_shift_is_repaired_wholly(shape: tuple[int, int]) -> None:
    picture = images(3, size=shape)
    mask = (torch.arange(shape[1]) % 3 == 0).float()
    mask[:8] = mask[-8:] = 1
    m = looked(torch.fft.fft2(picture, norm="ortho") * mask, mask)
    assert "half its field of view" in m.provenance["assumed"][0]
    whole = looked(torch.fft.fft2(picture, norm="ortho"))
    torch.testing.assert_close(centred_ifft(whole.data), picture, atol=1e-5, rtol=0)
    # the mask goes with the data
    assert m.mask is not None
    assert m.mask[0, shape[1] // 2] == 1
    assert bool(((m.data.abs().sum(0) > 0) <= (m.mask > 0)).all())


def test_cut_partial_fourier_is_refused() -> None:
    with pytest.raises(DataError, match=r"zero frequency seems to be at \(24, 10\).*pad"):
        looked(kspace(4)[..., 10:])


def test_maps_forbid_the_repair() -> None:
    data = torch.fft.ifftshift(kspace(3), (-2, -1))
    with pytest.raises(DataError, match="maps"):
        look_over(Measurement(kind="kspace", data=data, maps=torch.ones_like(data)))


def test_an_object_around_the_edge_is_named_and_left_alone() -> None:
    data = centred_fft(torch.fft.fftshift(images(3), (-2, -1)))
    m = looked(data)
    assert len(m.provenance["assumed"]) == 2
    assert "around the edge of the image along y" in m.provenance["assumed"][0]
    assert torch.equal(m.data, data)


def test_noise_and_single_lines_raise_no_suspicion() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(40, 30, 20, generator=generator, dtype=torch.complex64)
    assert looked(noise).provenance == {}
    check_coil_axis(noise)
    line = torch.zeros(2, 32, 32, dtype=torch.complex64)
    line[:, 3] = 1
    assert looked(line).provenance == {}


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_coils_are_found_wherever_they_are(order: tuple[int, int, int]) -> None:
    data = kspace(6).permute(order)
    if order[0] == 0:
        check_coil_axis(data)
        return
    axis = order.index(0)
    with pytest.raises(ShapeError, match=rf"axis {axis} \(6 long\) looks like the coils"):
        check_coil_axis(data)
    repaired = np.moveaxis(data.numpy(), axis, 0)
    check_coil_axis(torch.from_numpy(repaired.copy()))


@pytest.mark.parametrize("shape", [(48, 48), (47, 45)])
@pytest.mark.parametrize("axes", [(-2, -1), (-1,), (-2,)])
def test_arrays_are_refused_where_files_are_repaired(
    shape: tuple[int, int], axes: tuple[int, ...]
) -> None:
    data = kspace(2, 3, size=shape)
    assert torch.equal(as_measurement(data, "kspace").data, data)
    shifted = torch.fft.ifftshift(data, axes).numpy()
    with pytest.raises(DataError, match="zero frequency seems to be at") as refused:
        as_measurement(shifted, "kspace")
    assert f"np.fft.fftshift(kspace, axes={axes})" in str(refused.value)
    repaired = as_measurement(np.fft.fftshift(shifted, axes), "kspace")
    assert torch.equal(repaired.data, data)
    with pytest.raises(ShapeError, match="looks like the coils"):
        as_measurement(data.movedim(-3, -1), "kspace")


def test_empty_slices_at_the_ends_are_left_out_and_geometry_follows() -> None:
    data = kspace(5, 3)
    data[0] = data[4] = 0
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    reference = torch.rand(5, 48, 40)
    m = look_over(Measurement(kind="kspace", data=data, affine=affine, reference=reference))
    assert torch.equal(m.data, data[1:4])
    assert m.reference is not None and torch.equal(m.reference, reference[1:4])
    assert m.provenance["assumed"] == ["empty slices 0, 4 left out"]
    assert m.affine is not None and m.affine[2, 3] == 5.0
    data[2] = 0
    with pytest.raises(DataError, match="slices 0, 2, 4 holds only zeros"):
        looked(data)
    with pytest.raises(DataError, match="zero everywhere"):
        looked(0 * data)


def test_no_suspicion_harms_real_scans(data_root: Path) -> None:
    for name in ("brain_alias_8ch", "brain_8ch_poisson_sigpy", "knee_256"):
        folder = "singlecoil" if name.startswith("knee") else "multicoil"
        m = open(data_root / f"mri/{folder}/{name}.npz", kind="kspace")
        assert "assumed" not in m.provenance, name
    for path in sorted((data_root / "mri/complex").glob("*.npz")):
        pictures = torch.from_numpy(np.load(path)["images"][:1])
        assert looked(centred_fft(pictures).unsqueeze(0)).provenance == {}, path.name
    for name in ("chest100", "oasis14", "brain_axial24"):
        pictures = torch.from_numpy(
            np.load(data_root / f"mri/magnitude/{name}.npz")["images"][::5] * 1.0
        )
        for picture in pictures:
            data = centred_fft(picture.to(torch.complex64))[None]
            assert looked(data).provenance == {}, name


@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1e18, 1e30])
def test_no_suspicion_depends_on_the_scale(scale: float) -> None:
    data = kspace(4)
    assert "moved to the middle" in str(
        looked(torch.fft.ifftshift(data, (-2, -1)) * scale).provenance["assumed"]
    )
    assert "assumed" not in looked(data * scale).provenance
    with pytest.raises(ShapeError, match="looks like the coils"):
        check_coil_axis(data.movedim(-3, -1) * scale)
