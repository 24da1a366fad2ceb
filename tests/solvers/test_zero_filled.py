"""The zero-filled image inverts a full scan and is the adjoint of an undersampled one."""

from __future__ import annotations

import torch

from rimaging.operators.cartesian import CartesianMRI
from rimaging.solvers.zero_filled import zero_filled


def scan(sets: tuple[int, ...] = ()) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(*sets, 4, 9, 12, dtype=torch.complex128, generator=generator)
    maps = maps / torch.linalg.vector_norm(maps, dim=-3, keepdim=True)
    image = torch.randn(2, *sets, 9, 12, dtype=torch.complex128, generator=generator)
    return maps, image


def test_a_full_scan_gives_the_image_back() -> None:
    maps, image = scan()
    kspace = CartesianMRI(maps).forward(image)
    full = torch.ones(9, 12)
    torch.testing.assert_close(zero_filled(kspace, full, maps), image)
    torch.testing.assert_close(zero_filled(kspace, full), image.abs())


def test_what_the_mask_hides_does_not_matter() -> None:
    maps, image = scan((2,))
    kspace = CartesianMRI(maps, sets=True).forward(image)
    mask = (torch.rand(9, 12, generator=torch.Generator().manual_seed(1)) < 0.5).double()
    spoiled = torch.where(mask > 0, kspace, 1e3)
    once = zero_filled(kspace, mask, maps, sets=True)
    assert once.shape == image.shape
    torch.testing.assert_close(zero_filled(spoiled, mask, maps, sets=True), once)
    torch.testing.assert_close(zero_filled(spoiled, mask), zero_filled(kspace, mask))
    k, x = kspace, torch.randn_like(image)
    forward = CartesianMRI(maps, mask, sets=True).forward(x)
    left, right = (
        torch.vdot(forward.flatten(), k.flatten()),
        torch.vdot(x.flatten(), once.flatten()),
    )
    torch.testing.assert_close(left, right)
