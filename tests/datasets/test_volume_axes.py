"""A volume of BART comes out as it went in, whichever axis it was split along."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rimaging import mri
from rimaging.datasets.bart import read_cfl, write_cfl
from rimaging.datasets.sources import as_measurement
from rimaging.operators.fourier import centred_fft

Z, Y, X = 9, 10, 12


def object_and_maps() -> tuple[torch.Tensor, torch.Tensor]:
    """A box off the middle (z, y, x), of another size along each axis, and maps (coil, z, y, x)."""
    image = torch.zeros(Z, Y, X, dtype=torch.complex64)
    image[2:6, 3:9, 1:8] = 1
    image[4, 5, 2] = 2
    z, y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in (Z, Y, X)), indexing="ij")
    maps = torch.stack([1 + 0.5 * x + 0.2j * z, 1 - 0.5 * x + 0.3 * y, 1 - 0.4 * z + 0.2j * y])
    return image, (maps / maps.abs().square().sum(0).sqrt()).to(torch.complex64)


@pytest.mark.parametrize("along", ["z", "x"])
@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("suffix", [".cfl", ".nii"])
def test_maps_and_mask_of_the_volume_give_the_volume(
    tmp_path: Path, along: str, frames: int, suffix: str
) -> None:
    image, maps = object_and_maps()
    mask = torch.ones(Z, Y, X)
    if along == "x":
        mask[::2, ::2] = 0
        mask[3:6, 3:7] = 1
    generator = torch.Generator().manual_seed(0)
    kspace = centred_fft(maps * image, (-3, -2, -1))
    noise = 1e-4 * torch.randn(kspace.shape, generator=generator, dtype=torch.complex64)
    film = torch.stack([(t + 1) * (kspace + noise) * mask for t in range(frames)])
    # time is BART's dimension 10, the coil dimension 3
    write_cfl(tmp_path / "k.cfl", film.reshape(frames, 1, 1, 1, 1, 1, 1, 3, Z, Y, X))
    measurement = as_measurement(tmp_path / "k.cfl", "kspace")
    assert f"along {along}" in measurement.provenance["split"]
    found = mri.reconstruct(
        measurement, mask=mask[..., :1], maps=maps, noise=1e-4, method="cg-sense", lamda=0,
        iterations=100,
    )  # fmt: skip
    path = found.save(tmp_path / f"image{suffix}")
    if suffix == ".cfl":
        written = read_cfl(path).reshape(frames, Z, Y, X)
    else:
        import nibabel

        volume = np.asarray(nibabel.load(path).dataobj)  # type: ignore[attr-defined]
        written = volume.reshape(X, Y, Z, frames).T
    for t in range(frames):
        assert np.allclose(abs(written[t]), (t + 1) * image.abs().numpy(), atol=5e-3)
