"""The centred orthonormal Fourier transform."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rimaging.errors import OptionError, ShapeError
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.space import Space


def centred_fft(x: Tensor, axes: Sequence[int] = (-2, -1)) -> Tensor:
    """``k = fftshift(fft(ifftshift(x)))``, orthonormal over ``axes``, origin at ``n // 2``."""
    axes = tuple(axes)
    k: Tensor = torch.fft.fftn(torch.fft.ifftshift(x, axes), dim=axes, norm="ortho")
    centred: Tensor = torch.fft.fftshift(k, axes)
    return centred


def centred_ifft(k: Tensor, axes: Sequence[int] = (-2, -1)) -> Tensor:
    """``x = fftshift(ifft(ifftshift(k)))``, orthonormal: the inverse of `centred_fft`."""
    axes = tuple(axes)
    x = torch.fft.ifftn(torch.fft.ifftshift(k, axes), dim=axes, norm="ortho")
    centred: Tensor = torch.fft.fftshift(x, axes)
    return centred


class Fourier(LinearOperator):
    """``A x = F x``, unitary, over the last ``ndim`` axes of ``(*batch, *shape)``.

    Args:
        shape: the shape without batch, for example ``(coil, y, x)``.
        ndim: how many trailing axes are transformed, 2 or 3.
        dtype: complex64 or complex128.

    Raises:
        OptionError: another ``ndim``, a real ``dtype``. ShapeError: fewer axes than ``ndim``.
    """

    def __init__(
        self, shape: Sequence[int], ndim: int = 2, dtype: torch.dtype = torch.complex64
    ) -> None:
        space = Space(tuple(shape), dtype)
        axes = spatial_axes(ndim)
        if not dtype.is_complex:
            raise OptionError(
                f"Fourier got dtype {dtype}: choose torch.complex64 or torch.complex128"
            )
        if len(space.shape) < ndim:
            raise ShapeError(
                f"Fourier over {ndim} axes got the shape {space.shape}: give at least {ndim} axes"
            )
        super().__init__(space, space)
        self.axes = axes

    def _forward(self, x: Tensor) -> Tensor:
        return centred_fft(x, self.axes)

    def _adjoint(self, y: Tensor) -> Tensor:
        return centred_ifft(y, self.axes)

    def _normal(self, x: Tensor) -> Tensor:
        return x

    @property
    def locality(self) -> tuple[int, ...]:
        """The axes transformed."""
        return self.axes

    def normal_diagonal(self, weight: Tensor | None = None) -> Tensor:
        """The mean of the weight over the axes transformed, since ``|F_kx|^2 = 1/n``."""
        if weight is None:
            return torch.ones(self.domain.shape, dtype=self.domain.real_dtype)
        return self.range.expand(weight).mean(dim=self.axes, keepdim=True)


def spatial_axes(ndim: int) -> tuple[int, ...]:
    """``(-2, -1)`` or ``(-3, -2, -1)``; `OptionError` for another number of axes."""
    if ndim not in (2, 3):
        raise OptionError(f"ndim={ndim} spatial axes do not exist here: choose 2 or 3")
    return tuple(range(-ndim, 0))
