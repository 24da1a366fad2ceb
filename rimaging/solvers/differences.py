"""Finite differences of images, and their adjoint: what the priors of neighbours are made of."""

from __future__ import annotations

import torch
from torch import Tensor

NORM_SQUARED = 8.0
"""A bound on ``|D|^2`` of forward differences along two axes."""


def differences(x: Tensor) -> Tensor:
    """``D x``: forward differences along y and x, ``(2, ..., y, x)``, zero at the last pixel."""
    gradient = x.new_zeros((2, *x.shape))
    gradient[0, ..., :-1, :] = x[..., 1:, :] - x[..., :-1, :]
    gradient[1, ..., :, :-1] = x[..., :, 1:] - x[..., :, :-1]
    return gradient


def differences_adjoint(p: Tensor) -> Tensor:
    """``D* p``, minus the divergence, from ``(2, ..., y, x)`` to ``(..., y, x)``."""
    x = torch.zeros_like(p[0])
    x[..., :-1, :] -= p[0, ..., :-1, :]
    x[..., 1:, :] += p[0, ..., :-1, :]
    x[..., :, :-1] -= p[1, ..., :, :-1]
    x[..., :, 1:] += p[1, ..., :, :-1]
    return x


def steepness(gradient: Tensor) -> Tensor:
    """``|D x|`` of each pixel, ``(..., y, x)``."""
    steep: Tensor = torch.linalg.vector_norm(gradient, dim=0)
    return steep
