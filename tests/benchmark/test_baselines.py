"""The table of classical reconstructions: complete, tuned, and in the order of truth."""

from __future__ import annotations

import torch

from rimaging.benchmark.baselines import magnitude, mri_baselines
from rimaging.operators.cartesian import CartesianMRI


def head(n: int) -> torch.Tensor:
    """A piecewise constant head with a smooth phase."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, n), torch.linspace(-1, 1, n), indexing="ij")
    image = (x**2 + y**2 < 0.8).float() - 0.5 * ((x - 0.2) ** 2 + y**2 < 0.2).float()
    return torch.polar(image, x + y**2)


def test_every_method_is_tuned_and_beats_the_zero_filled_image() -> None:
    n = 32
    truth = head(n)
    shifts = torch.tensor([0.0, 1.6, 3.1, 4.7])
    u = torch.linspace(-1, 1, n)
    maps = torch.exp(1j * (shifts[:, None, None] + u[:, None] * shifts[:, None, None])) * (
        1.2 + torch.cos(u + shifts[:, None, None])
    )
    maps = maps / torch.linalg.vector_norm(maps, dim=0)
    generator = torch.Generator().manual_seed(0)
    mask = (torch.rand(n, n, generator=generator) < 0.3).float()
    mask[12:20, 12:20] = 1
    noise = 0.02 * torch.randn(4, n, n, dtype=torch.complex64, generator=generator)
    kspace = CartesianMRI(maps).forward(truth) + noise
    pictures: dict[str, torch.Tensor] = {}

    rows = mri_baselines(
        kspace,
        mask,
        maps,
        truth.abs(),
        iterations=25,
        with_bart=False,
        keep=pictures.__setitem__,
    )

    assert [row.method for row in rows] == [
        "zero-filled",
        "CG-SENSE",
        "L1-wavelet (sigpy)",
        "TV (sigpy)",
    ]
    assert pictures.keys() == {row.method for row in rows}
    assert rows[0].lamda is None
    assert all(row.psnr > rows[0].psnr + 3 and row.interior for row in rows[1:])
    # TV is the prior that made this picture.
    assert rows[3].psnr == max(row.psnr for row in rows)
    assert all(0 < row.ssim <= 1 and row.seconds > 0 for row in rows)


def test_the_magnitude_is_that_of_the_coil_images() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 5, 6, 7, dtype=torch.complex128, generator=generator)
    image = torch.randn(2, 6, 7, dtype=torch.complex128, generator=generator)
    expected = (maps[0] * image[0] + maps[1] * image[1]).abs().square().sum(0).sqrt()
    torch.testing.assert_close(magnitude(image, maps, sets=True), expected)
    unit = maps[0] / torch.linalg.vector_norm(maps[0], dim=0)
    torch.testing.assert_close(magnitude(image[0], unit, sets=False), image[0].abs())
