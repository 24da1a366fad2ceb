"""Convolution with a point spread function, with honest edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.space import Space, check_tensor

Boundary = Literal["zero", "reflect", "valid", "circular"]


class Convolution(LinearOperator):
    """``(A x)_i = sum_k p_k x_{i-k}``, ``k`` from ``-r`` to ``r`` about the centre of the PSF.

    Args:
        psf: real, ``(*batch, ky, kx)`` with odd ``ky = 2 ry + 1`` and ``kx = 2 rx + 1``. Leading
            axes broadcast against those of ``x``: one PSF per item or per channel. It is used as it
            comes, never normalised.
        shape: the shape of the blurred image, ``(y, x)`` or ``(channel, y, x)``.
        boundary: what the sky looks like outside the image:
            ``"zero"``: black;
            ``"reflect"``: mirrored, edge pixel repeated (``c b a | a b c``);
            ``"valid"``: unknown: the scene is larger than the image by the radius of the PSF,
            ``(y + 2 ry, x + 2 rx)``, as for a cut-out of a telescope image;
            ``"circular"``: the image repeats itself.

    Raises:
        ShapeError: an even-sized PSF, or one per channel for another number of channels.
        DataError: a PSF that is complex, not finite, or zero everywhere.
        OptionError: a boundary that does not exist.

    All is done by FFT on a grid of a good size (2^a 3^b 5^c) just large enough that nothing wraps
    around. Measured on one CPU thread, the crossover to `conv2d` lies at 5 x 5: directly, 3 x 3 is
    two to four times faster, 7 x 7 twice slower, 9 x 9 fifty times: so there is no direct path.
    """

    def __init__(self, psf: Tensor, shape: Sequence[int], boundary: Boundary = "zero") -> None:
        if boundary not in get_args(Boundary):
            raise OptionError(
                f"boundary {boundary!r} does not exist: choose {', '.join(get_args(Boundary))}"
            )
        shape = Space(tuple(shape), torch.float32).shape
        _check_psf(psf, shape)
        height, width = shape[-2:]
        radius = (psf.shape[-2] // 2, psf.shape[-1] // 2)
        padded = (height + 2 * radius[0], width + 2 * radius[1])
        domain = (*shape[:-2], *padded) if boundary == "valid" else shape
        super().__init__(Space(domain, psf.dtype), Space(shape, psf.dtype))
        self.boundary = boundary
        self.radius = radius
        if boundary == "circular":
            self.grid, offset = (height, width), radius
        elif boundary == "zero":
            self.grid, offset = fast_shape(height + radius[0], width + radius[1]), radius
        else:  # output pixel 0 is the first whose neighbourhood lies inside
            self.grid, offset = fast_shape(*padded), (2 * radius[0], 2 * radius[1])
        kernel = _on_grid(psf.double(), self.grid, offset)
        self.otf: Tensor
        self.power_otf: Tensor
        self.absolute_otf: Tensor
        self.rows: Tensor
        self.columns: Tensor
        self.psf: Tensor
        self._keep("psf", psf)
        self._keep("otf", torch.fft.rfft2(kernel).to(psf.dtype.to_complex()))
        self._keep("power_otf", torch.fft.rfft2(kernel.square()).to(psf.dtype.to_complex()))
        self._keep("absolute_otf", torch.fft.rfft2(kernel.abs()).to(psf.dtype.to_complex()))
        self._keep("rows", _mirror(height, radius[0], psf.device))
        self._keep("columns", _mirror(width, radius[1], psf.device))

    def _keep(self, name: str, tensor: Tensor) -> None:
        self.register_buffer(name, tensor, persistent=False)

    def _filter(self, x: Tensor, otf: Tensor, size: tuple[int, int]) -> Tensor:
        """Filter on the grid, in which ``x`` and the result begin at the same corner."""
        z: Tensor = torch.fft.irfft2(torch.fft.rfft2(x, s=self.grid) * otf, s=self.grid)
        return z[..., : size[0], : size[1]]

    def _size(self, space: Space) -> tuple[int, int]:
        return space.shape[-2], space.shape[-1]

    def _forward(self, x: Tensor) -> Tensor:
        return self._seen(x, self.otf)

    def _seen(self, x: Tensor, otf: Tensor) -> Tensor:
        if self.boundary == "reflect":
            x = x.index_select(-2, self.rows).index_select(-1, self.columns)
        return self._filter(x, otf, self._size(self.range))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._spread(y, self.otf)

    def _spread(self, y: Tensor, otf: Tensor) -> Tensor:
        if self.boundary != "reflect":
            return self._filter(y, otf.conj(), self._size(self.domain))
        z = self._filter(y, otf.conj(), (len(self.rows), len(self.columns)))
        height, width = self._size(self.domain)
        z = z.new_zeros(*z.shape[:-2], height, z.shape[-1]).index_add(-2, self.rows, z)
        return z.new_zeros(*z.shape[:-1], width).index_add(-1, self.columns, z)

    def _normal(self, x: Tensor) -> Tensor:
        if self.boundary == "circular":
            power = self.otf.real.square() + self.otf.imag.square()
            return self._filter(x, power, self._size(self.domain))
        return self._adjoint(self._forward(x))

    @property
    def locality(self) -> int | tuple[int, ...]:
        """The radius of the PSF; a circular image is coupled through its edges."""
        return (-2, -1) if self.boundary == "circular" else max(self.radius)

    def normal_diagonal(self, weight: Tensor | None = None) -> Tensor:
        """``sum_i w_i p_{i-j}^2``: the weight correlated with the squared PSF.

        Exact, but for pixels nearer than the radius to a mirror, where a pixel and its own image
        also interfere.
        """
        if weight is None:
            weight = torch.ones((), dtype=self.range.dtype, device=self.otf.device)
        return self._spread(self.range.expand(weight), self.power_otf).clamp_min(0)

    def normal_bound(self, weight: Tensor | None = None) -> Tensor:
        """``|A|* W |A| 1``, with the absolute values of the PSF: sums along rows, or more.

        Exact for a PSF that is nowhere negative.
        """
        ones = torch.ones(self.domain.shape, dtype=self.range.dtype, device=self.otf.device)
        return self.absolute_adjoint(self.absolute_forward(ones), weight)

    def absolute_forward(self, x: Tensor) -> Tensor:
        """``|A| x``: the blur by the absolute values of the PSF."""
        return self._seen(x, self.absolute_otf)

    def absolute_adjoint(self, y: Tensor, weight: Tensor | None = None) -> Tensor:
        """``|A|* W y``."""
        return self._spread(y if weight is None else weight * y, self.absolute_otf)


def fast_length(n: int) -> int:
    """The least even number from ``n`` on that has no prime factor above 5."""
    n += n % 2
    while True:
        rest = n
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return n
        n += 2


def fast_shape(height: int, width: int) -> tuple[int, int]:
    """`fast_length` of both."""
    return fast_length(height), fast_length(width)


def _on_grid(psf: Tensor, grid: tuple[int, int], offset: tuple[int, int]) -> Tensor:
    """Place tap ``k`` at ``(k - offset) mod grid``; taps that meet are added."""
    rows, columns = (
        (torch.arange(taps, device=psf.device) - start) % size
        for taps, start, size in zip(psf.shape[-2:], offset, grid, strict=True)
    )
    strip = psf.new_zeros(*psf.shape[:-2], grid[0], psf.shape[-1]).index_add(-2, rows, psf)
    return strip.new_zeros(*psf.shape[:-2], *grid).index_add(-1, columns, strip)


def _mirror(size: int, radius: int, device: torch.device) -> Tensor:
    """Indices ``-radius .. size + radius - 1`` mirrored into the image, edge pixel repeated."""
    index = torch.arange(-radius, size + radius, device=device) % (2 * size)
    return torch.minimum(index, 2 * size - 1 - index)


def _check_psf(psf: Tensor, shape: tuple[int, ...]) -> None:
    check_tensor(psf, "Convolution")
    if psf.ndim < 2 or len(shape) < 2:
        raise ShapeError(
            f"Convolution expects a PSF (..., y, x) and a shape (..., y, x), got "
            f"{tuple(psf.shape)} and {shape}: give both their two spatial axes"
        )
    if psf.shape[-2] % 2 == 0 or psf.shape[-1] % 2 == 0:
        raise ShapeError(
            f"Convolution expects a PSF of odd size, got {tuple(psf.shape[-2:])}: an even one has "
            "no central pixel and shifts the image by half a pixel; resample it to an odd size"
        )
    if len(shape) > 2 and psf.ndim > 2 and psf.shape[-3] not in (1, shape[-3]):
        raise ShapeError(
            f"Convolution of {shape[-3]} channels got {psf.shape[-3]} PSFs: "
            "give one for all, or one per channel (channel, y, x)"
        )
    if not psf.is_floating_point():
        raise DataError(
            f"Convolution expects a PSF of real floats, got {psf.dtype}: "
            "convert it with `psf.to(torch.float32)`"
        )
    if not bool(torch.isfinite(psf).all()):
        raise DataError("Convolution got a PSF with NaN or inf: set its unknown pixels to 0")
    if bool((psf == 0).flatten(-2).all(dim=-1).any()):
        raise DataError("Convolution got a PSF that is zero everywhere: nothing would be seen")
