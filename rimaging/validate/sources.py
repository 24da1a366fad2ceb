"""Stars and galaxies to inject: drawn exactly, seen by the PSF of the image and by the target.

A galaxy is an exponential disc ``exp(-r / h)``, known in Fourier space, so that pixels and PSFs
bring no error of sampling; a star is one of ``h = 0``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from rimaging.operators.target import gaussian_transfer

Transfer = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Sources: ``x, y`` in pixels (0 is the middle of the first), flux, scale, shape; all ``(n,)``.

    ``scale`` is ``h`` in pixels, 0 for stars; ``g1, g2`` the shear of the round disc.
    """

    x: Tensor
    y: Tensor
    flux: Tensor
    scale: Tensor
    g1: Tensor
    g2: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, chosen: Tensor) -> Catalogue:
        return Catalogue(**{name: value[chosen] for name, value in vars(self).items()})

    def sheared(self, g1: float, g2: float) -> Catalogue:
        """Behind a lens: ``e -> (e + g) / (1 + conj(g) e)``, ``e = g1 + i g2`` of each source."""
        own = torch.complex(self.g1, self.g2)
        lens = complex(g1, g2)
        seen = (own + lens) / (1 + lens.conjugate() * own)
        return replace(self, g1=seen.real, g2=seen.imag)


def stars(x: Tensor, y: Tensor, flux: Tensor) -> Catalogue:
    """A catalogue of points."""
    zero = torch.zeros_like(x)
    return Catalogue(x=x, y=y, flux=flux, scale=zero, g1=zero, g2=zero)


def seen_by_psf(catalogue: Catalogue, psf: Tensor, shape: Sequence[int]) -> Tensor:
    """The sources as the instrument shows them: moved by fractions of a pixel as a PSF can be.

    ``psf (y, x)`` has odd sides and its middle at the centre.
    """
    side = max(psf.shape) + 32 + max(psf.shape) % 2 + 1
    side += 1 - side % 2
    otf = torch.fft.fft2(_centred(psf.double(), side))
    return _draw(catalogue, side, lambda fy, fx: otf, (0,), shape)


def seen_by_target(catalogue: Catalogue, fwhm: float, side: int, shape: Sequence[int]) -> Tensor:
    """The sources seen by a Gaussian, sampled at the middle of the pixels."""
    # What a narrow Gaussian has above the Nyquist frequency is folded back, as sampling does.
    folds = (-2, -1, 0, 1, 2) if fwhm < 1.5 else (-1, 0, 1)

    def transfer(fy: Tensor, fx: Tensor) -> Tensor:
        return gaussian_transfer(fwhm, fy, fx)

    return _draw(catalogue, side + 1 - side % 2, transfer, folds, shape)


def _centred(psf: Tensor, side: int) -> Tensor:
    """The PSF on a larger grid, its middle at the first pixel."""
    grid = psf.new_zeros(side, side)
    grid[: psf.shape[0], : psf.shape[1]] = psf
    return grid.roll((-(psf.shape[0] // 2), -(psf.shape[1] // 2)), (0, 1))


def _draw(
    catalogue: Catalogue, side: int, transfer: Transfer, folds: Sequence[int], shape: Sequence[int]
) -> Tensor:
    """Paste a stamp of each source into a dark image; what reaches beyond the edge is lost."""
    rows, columns = shape
    half = side // 2
    image = torch.zeros(rows + 2 * half, columns + 2 * half, dtype=torch.float64)
    for index in range(len(catalogue)):
        one = catalogue[torch.tensor([index])]
        column, row = round(float(one.x)), round(float(one.y))
        if not (0 <= row < rows and 0 <= column < columns):
            continue
        stamp = _stamp(one, float(one.x) - column, float(one.y) - row, side, transfer, folds)
        image[row : row + side, column : column + side] += float(one.flux) * stamp
    return image[half : half + rows, half : half + columns].float()


def _stamp(
    one: Catalogue, dx: float, dy: float, side: int, transfer: Transfer, folds: Sequence[int]
) -> Tensor:
    frequency = torch.fft.fftfreq(side, dtype=torch.float64)
    g1, g2, scale = (float(value.double()) for value in (one.g1, one.g2, one.scale))
    area = 1 / math.sqrt(1 - g1**2 - g2**2)
    spectrum = torch.zeros(side, side, dtype=torch.complex128)
    for fold_y in folds:
        for fold_x in folds:
            fy, fx = frequency + fold_y, frequency + fold_x
            u = area * ((1 + g1) * fx[None, :] + g2 * fy[:, None])
            v = area * (g2 * fx[None, :] + (1 - g1) * fy[:, None])
            disc = (1 + (2 * math.pi * scale) ** 2 * (u**2 + v**2)) ** -1.5
            angle = -2 * math.pi * (fy[:, None] * dy + fx[None, :] * dx)
            spectrum += disc * transfer(fy, fx) * torch.polar(torch.ones_like(angle), angle)
    stamp: Tensor = torch.fft.fftshift(torch.fft.ifft2(spectrum).real)
    return stamp / stamp.sum()  # a narrow Gaussian's samples sum to 1 but nearly
