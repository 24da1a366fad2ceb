"""Interpolation of eigenvectors, known up to their phase, from a grid of nodes to the pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.operators.band_limited import pixels

__all__ = ["BEFORE", "STENCIL", "EigenvectorInterpolation"]

STENCIL = 6  # nodes along each axis
BEFORE = STENCIL // 2 - 1  # of them, those before the cell


class EigenvectorInterpolation:
    """Six-point Lagrange interpolation along both axes, cell by cell.

    A cell (i, j) holds the `step` pixels from its own node on; its stencil is the nodes
    (i ... i + 5, j ... j + 5), its own node being (i + 2, j + 2). Eigenvectors v_m at the nodes
    stand for projectors: what is interpolated is sum_m w_m v_m v_m^H v_own, the projectors applied
    to the vector of the own node, so phases cancel; for b vectors at once, rotations among them.
    Vectors are rows, (b, n), which the small matrix products like best.
    """

    def __init__(self, step: tuple[int, int], dtype: torch.dtype, device: torch.device) -> None:
        self.step = step
        real = torch.empty((), dtype=dtype).real.dtype
        at = [torch.arange(width, dtype=torch.float64) / width for width in step]
        self.weights = _outer(*(_lagrange(t, STENCIL) for t in at)).to(device, real)
        # In the middle of a cell the error is largest: four points against six estimate it.
        middle = [t[len(t) // 2 :][:1] for t in at]
        four, six = (_outer(*(_lagrange(t, n) for t in middle)) for n in (STENCIL - 2, STENCIL))
        self.difference = (six - four).to(device, real)
        nodes = torch.arange(STENCIL, device=device)
        self.node_y, self.node_x = (node[:, None] for node in pixels(nodes, nodes))
        self.in_y, self.in_x = pixels(*(torch.arange(width, device=device) for width in step))

    def stencil(self, nodes: Tensor, cell_y: Tensor, cell_x: Tensor) -> Tensor:
        """Gather node values (y, x, ...) around cells (c,): (36, c, ...)."""
        return nodes[self.node_y + cell_y, self.node_x + cell_x]

    def aligned(self, vectors: Tensor, cell_y: Tensor, cell_x: Tensor) -> Tensor:
        """Gather eigenvectors (y, x, b, n), turned towards each cell's own: (36, c, b, n)."""
        near = self.stencil(vectors, cell_y, cell_x)
        own = vectors[cell_y + BEFORE, cell_x + BEFORE]
        return (own @ near.mH) @ near

    def __call__(self, samples: Tensor) -> Tensor:
        """Interpolate what `stencil` or `aligned` gathered: (pixel of the cell, c, ...)."""
        return _weigh(self.weights, samples)

    def error(self, samples: Tensor) -> Tensor:
        """Estimate the norm of the interpolation error in each cell, (c,); generously."""
        difference = _weigh(self.difference, samples)[0]
        norm: Tensor = torch.linalg.vector_norm(difference.flatten(1), dim=1)
        return norm

    def pixels_of(self, cell_y: Tensor, cell_x: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates of the pixels of cells (c,): two tensors (pixel of the cell, c)."""
        return (
            cell_y * self.step[0] + self.in_y[:, None],
            cell_x * self.step[1] + self.in_x[:, None],
        )


def _weigh(weights: Tensor, samples: Tensor) -> Tensor:
    """Sum real weights (p, 36) times real or complex samples (36, ...): (p, ...)."""
    if samples.is_complex():
        return torch.view_as_complex(_weigh(weights, torch.view_as_real(samples)))
    return (weights @ samples.flatten(1)).view(len(weights), *samples.shape[1:])


def _lagrange(t: Tensor, points: int) -> Tensor:
    """Weights (t, 6) of the `points` central nodes of the stencil, for 0 <= t < 1."""
    nodes = range(1 - points // 2, points // 2 + 1)
    weights = torch.zeros(len(t), STENCIL, dtype=torch.float64)
    for n in nodes:
        terms = [(t - m) / (n - m) for m in nodes if m != n]
        weights[:, n + BEFORE] = torch.stack(terms).prod(0)
    return weights


def _outer(rows: Tensor, columns: Tensor) -> Tensor:
    """Products of weights along y (a, 6) and x (b, 6): (a b, 36)."""
    return torch.einsum("ai,bj->abij", rows, columns).flatten(2).flatten(0, 1)
