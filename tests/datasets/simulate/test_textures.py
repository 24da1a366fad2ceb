"""Laws of nebulae: disjoint parts of the images, smooth to the target."""

from itertools import pairwise

import torch

from rimaging.datasets.simulate.textures import PARTS, nebula, nebulae


def test_parts_are_disjoint():
    edges = sorted(PARTS.values())
    assert all(a[1] < b[0] for a, b in pairwise(edges))


def test_pieces_are_repeatable_smooth_and_of_any_size(data_root):
    for split in PARTS:
        images = nebulae(data_root / "astro", split)
        assert len(images) == 2
        for size in (32, 101):
            piece = nebula(images, torch.Generator().manual_seed(1), size, 2.0)
            again = nebula(images, torch.Generator().manual_seed(1), size, 2.0)
            assert piece.shape == (size, size) and torch.equal(piece, again)
            assert torch.isfinite(piece).all()
            checkerboard = (-1.0) ** torch.arange(size)
            high = (piece * checkerboard[:, None] * checkerboard).mean().abs()
            assert float(high) < 0.01 * float(piece.abs().mean())
