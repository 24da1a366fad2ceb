"""The normal operator of a non-uniform Fourier transform, by FFTs on a grid of twice the image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rimaging.errors import ShapeError
from rimaging.operators.kaiser_bessel import smooth_size
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.nufft import NUFFT, checked_trajectory
from rimaging.operators.space import Space

__all__ = ["Toeplitz"]

CHUNK = 2**17
"""Samples whose point-spread function is found at once: it bounds the memory of the matrices."""


class Toeplitz(LinearOperator):
    """``(A* W A x)_r = 1/N sum_r' K(r - r') x_r'``, ``K(d) = sum_i w_i exp(2 pi i sum k_i d / n)``.

    ``A`` is the `NUFFT` of the trajectory. The convolution with ``K``, which is known on twice the
    image, takes one FFT there and back on a zero-padded grid, whatever the number of samples. The
    operator is self-adjoint: the spectrum of ``K`` is real.

    Args:
        trajectory: as for `NUFFT`, ``(*batch, sample, 2|3)`` in cycles per field of view.
        shape: of the image.
        weight: real ``w``, ``(*batch, sample)`` or broadcastable to it; one by default.
        dtype: complex64 or complex128. The spectrum is found in double precision.

    Raises:
        ShapeError: a weight that does not fit; further see `NUFFT`.

    Source: Fessler et al. (2005), IEEE Trans. Signal Process. 53, 3393; Wajer & Pruessmann (2001).
    """

    def __init__(
        self,
        trajectory: Tensor,
        shape: Sequence[int],
        weight: Tensor | None = None,
        dtype: torch.dtype = torch.complex64,
    ) -> None:
        domain = Space(tuple(shape), dtype)
        super().__init__(domain, domain)
        trajectory = checked_trajectory(trajectory, domain.shape, "Toeplitz")
        self.grid = tuple(smooth_size(2 * n) for n in domain.shape)
        kernel = _spectrum(trajectory, domain.shape, self.grid, weight)
        self.kernel: Tensor
        self.register_buffer("kernel", kernel.to(domain.real_dtype))

    def _forward(self, x: Tensor) -> Tensor:
        axes = range(-len(self.grid), 0)
        for axis in reversed(axes):  # axis by axis, so that rows of zeros are not transformed
            x = torch.fft.fft(x, n=self.grid[axis], dim=axis)
        x = x * self.kernel
        for axis in axes:
            x = torch.fft.ifft(x, dim=axis).narrow(axis, 0, self.domain.shape[axis])
        return x

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._forward(y)

    def matrix(self) -> Tensor:
        """The entries ``K(r - r') / N``, ``(*batch, pixel, pixel)``, for small images."""
        response = torch.fft.ifftn(self.kernel, dim=tuple(range(-len(self.grid), 0)))
        index = torch.zeros(1, 1, dtype=torch.int64, device=self.kernel.device)
        pixels = torch.cartesian_prod(*(torch.arange(n) for n in self.domain.shape)).to(index)
        for axis, cells in enumerate(self.grid):
            position = pixels.reshape(-1, len(self.grid))[:, axis]
            index = index * cells + (position[:, None] - position) % cells
        entries: Tensor = response.flatten(-len(self.grid))[..., index]
        return entries


def _spectrum(
    trajectory: Tensor, shape: tuple[int, ...], grid: tuple[int, ...], weight: Tensor | None
) -> Tensor:
    """The real spectrum of ``K / N`` with its origin in the corner, ``(*batch, *grid)``."""
    weight = trajectory.new_ones(()) if weight is None else weight.to(trajectory)
    try:
        weight, ones = torch.broadcast_tensors(weight, trajectory[..., 0])
    except RuntimeError:
        raise ShapeError(
            f"Toeplitz got weights {tuple(weight.shape)} for a trajectory "
            f"{tuple(trajectory.shape)}: give one weight for each sample"
        ) from None
    trajectory = trajectory.expand(*ones.shape, -1)
    sizes, half = trajectory.new_tensor(grid), trajectory.new_tensor(grid) / 2
    finer = (trajectory * (sizes / trajectory.new_tensor(shape))).clamp(-half, half)
    total = trajectory.new_zeros((*trajectory.shape[:-2], *grid), dtype=torch.complex128)
    for first in range(0, trajectory.shape[-2], CHUNK):
        operator = NUFFT(finer[..., first : first + CHUNK, :], grid, dtype=torch.complex128)
        samples = weight[..., first : first + CHUNK].to(torch.complex128)
        total = total + operator.adjoint(samples)
    total = total * (math.sqrt(math.prod(grid)) / math.prod(shape))
    for axis, (n, cells) in enumerate(zip(shape, grid, strict=True), start=-len(grid)):
        distance = (torch.arange(cells, device=total.device) - cells // 2).abs()
        inside = (distance < n).reshape(-1, *(1 for _ in range(-axis - 1)))
        total = torch.fft.ifftshift(total * inside, axis)
    spectrum: Tensor = torch.fft.fftn(total, dim=tuple(range(-len(grid), 0))).real
    return spectrum
