"""A field of Hermitian matrices that varies over an image as slowly as a short kernel allows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["BandLimitedField", "pixels"]


@dataclass(frozen=True)
class BandLimitedField:
    """Hermitian matrices at every pixel, a trigonometric polynomial of degree k-1 along each axis.

        G(r) = sum_{|lag| < k} L(lag) exp(2 pi i lag . (r - centre) / N),   L(-lag) = L(lag)^H

    lags: L (2k-1, 2k-1, n, n), zero lag in the middle; image: (y, x), centre (y // 2, x // 2).
    """

    lags: Tensor
    image: tuple[int, int]

    @property
    def size(self) -> int:
        """The number n of rows of a matrix."""
        return int(self.lags.shape[-1])

    def __call__(self, y: Tensor, x: Tensor) -> Tensor:
        """Evaluate G at pixels y (p,), x (p,): (p, n, n). They may lie outside the image.

        Half of the lags, with real coefficients, are enough:
        G = L(0) + sum_{lag > 0} cos(.) (L + L^H) + sin(.) i (L - L^H).
        """
        width = self.lags.shape[0]
        half = width * width // 2
        positive = self.lags.flatten(0, 1)[half + 1 :]
        zero = self.lags.flatten(0, 1)[half : half + 1]
        basis = torch.cat([zero, positive + positive.mH, 1j * (positive - positive.mH)])
        lag = torch.arange(width, device=y.device, dtype=torch.float64) - width // 2
        along_y, along_x = (
            2 * math.pi / size * (at.double() - size // 2)[:, None] * lag
            for at, size in zip((y, x), self.image, strict=True)
        )
        angle = (along_y[:, :, None] + along_x[:, None, :]).flatten(1)[:, half + 1 :]
        parts = torch.view_as_real(basis).flatten(1)
        angle = angle.to(parts.dtype)
        row = torch.cat([torch.ones_like(angle[:, :1]), angle.cos(), angle.sin()], 1)
        return torch.view_as_complex((row @ parts).view(-1, self.size, self.size, 2))


def pixels(y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """List the points of the grid y (a,) times x (b,), row by row: two tensors (a b,)."""
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return rows.flatten(), columns.flatten()
