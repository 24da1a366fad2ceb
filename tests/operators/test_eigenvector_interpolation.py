"""Interpolation between nodes: exact for polynomials, blind to the phases of eigenvectors."""

from __future__ import annotations

import torch

from rimaging.operators.band_limited import pixels
from rimaging.operators.eigenvector_interpolation import (
    BEFORE,
    STENCIL,
    EigenvectorInterpolation,
)

STEP = (4, 3)
CELLS = pixels(torch.arange(3), torch.arange(2))
BETWEEN = EigenvectorInterpolation(STEP, torch.complex128, torch.device("cpu"))


def nodes():
    """Pixel coordinates of the nodes around three by two cells."""
    y = (torch.arange(3 + STENCIL - 1) - BEFORE) * STEP[0]
    x = (torch.arange(2 + STENCIL - 1) - BEFORE) * STEP[1]
    return torch.meshgrid(y.double(), x.double(), indexing="ij")


def polynomial(y, x):
    return 1 + (y / 9 - 0.3) ** 5 * (x / 5 - 0.7) ** 5 - (x / 6) ** 4 * (y / 8)


def eigenvectors(y, x):
    """A smooth field of unit vectors (..., 1, 3)."""
    vector = torch.stack(
        [torch.exp(0.05j * y), 0.8 * torch.exp(0.04j * x), 0.02 * (x - y) + 0j], -1
    )
    return (vector / torch.linalg.vector_norm(vector, dim=-1, keepdim=True)).unsqueeze(-2)


def test_is_exact_for_polynomials_of_degree_five():
    found = BETWEEN(BETWEEN.stencil(polynomial(*nodes()), *CELLS))
    expected = polynomial(*(at.double() for at in BETWEEN.pixels_of(*CELLS)))
    assert (found - expected).abs().max() < 1e-12 * expected.abs().max()


def test_cells_tile_the_image():
    y, x = BETWEEN.pixels_of(*CELLS)
    assert sorted((x + 6 * y).flatten().tolist()) == list(range(12 * 6))


def test_phases_of_the_nodes_do_not_matter():
    generator = torch.Generator().manual_seed(0)
    vectors = eigenvectors(*nodes())
    phases = torch.rand(vectors.shape[:2], dtype=torch.float64, generator=generator) * 6.28
    turned = vectors * torch.polar(torch.ones_like(phases), phases)[..., None, None]
    straight = BETWEEN(BETWEEN.aligned(vectors, *CELLS))
    found = BETWEEN(BETWEEN.aligned(turned, *CELLS))
    overlap = torch.linalg.vecdot(straight, found).abs()
    length = torch.linalg.vector_norm(straight, dim=-1)
    assert torch.allclose(overlap, length**2, rtol=1e-12)


def test_the_error_is_estimated_generously():
    samples = BETWEEN.aligned(eigenvectors(*nodes()), *CELLS)
    found = BETWEEN(samples)[..., 0, :]
    true = eigenvectors(*(at.double() for at in BETWEEN.pixels_of(*CELLS)))[..., 0, :]
    error = torch.linalg.vector_norm(
        found - true * torch.linalg.vecdot(true, found)[..., None], dim=-1
    )
    assert (error.amax(0) < BETWEEN.error(samples)).all()
    assert BETWEEN.error(samples).max() < 1e-3
