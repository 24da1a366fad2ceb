from __future__ import annotations

from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rimaging.datasets.volumes import crop_readout, middle_of, split_axis, to_slices
from rimaging.operators.fourier import centred_fft, centred_ifft


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.complex128)


@given(z=st.integers(1, 5), y=st.integers(1, 6), x=st.integers(1, 6))
def test_slices_of_a_volume_are_its_image(z: int, y: int, x: int) -> None:
    volume = noise(2, 3, z, y, x)  # (item, coil, z, y, x)
    image = centred_ifft(volume, (-3, -2, -1))
    planes = centred_ifft(to_slices(volume, "z"))
    torch.testing.assert_close(planes, image.permute(0, 2, 1, 3, 4))
    planes = centred_ifft(to_slices(volume, "x"))
    torch.testing.assert_close(planes, image.permute(0, 4, 1, 2, 3))


@pytest.mark.parametrize(("gap", "axis"), [("line", "z"), ("partition", "x"), ("both", "x")])
def test_the_axis_without_gaps_is_split(gap: str, axis: Literal["z", "x"]) -> None:
    mask = torch.ones(4, 6, 5)
    if gap in ("line", "both"):
        mask[:, 2] = 0
    if gap in ("partition", "both"):
        mask[1, 3] = 0
    assert split_axis(mask) == axis


@given(n=st.integers(2, 24), data=st.data())
def test_cropping_keeps_voxels_scale_and_centre(n: int, data: st.DataObject) -> None:
    keep = data.draw(st.integers(1, n))
    kspace = noise(70, 2, n)
    image = centred_ifft(kspace, (-1,))
    cropped = centred_ifft(crop_readout(kspace, keep), (-1,))
    torch.testing.assert_close(cropped, middle_of(image, keep, -1))
    assert middle_of(torch.arange(n), keep, 0)[keep // 2] == n // 2


def test_white_noise_stays_white_and_as_strong() -> None:
    cropped = crop_readout(noise(400, 1, 32), 16)
    assert float(cropped.abs().square().mean()) == pytest.approx(1, rel=0.05)
    assert float(centred_fft(cropped[:, 0].mean(dim=0), (-1,)).abs().max()) < 0.3
