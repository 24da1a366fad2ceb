"""Radio interferometry: the visibilities of a sky, its dirty image, and the way back to Jy/beam.

An image is in Jy/pixel, its cell in radians; north is up and east to the left, so that
``l = -(x - n_x // 2) cell`` and ``m = (y - n_y // 2) cell``. ``u, v`` count wavelengths.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.convolution import Convolution
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.nufft import NUFFT
from rimaging.operators.space import Space

Weighting = Literal["natural", "uniform", "briggs"]

NEAR = 30
"""Pixels around its peak in which the main lobe of a beam is looked for."""

DIRECT = 2**28
"""Visibilities times pixels up to which the sum is taken as it stands; above it by the NUFFT."""


class Visibilities(LinearOperator):
    """``V_i = sum_yx I_yx exp(-2 pi i (u_i l_x + v_i m_y))``, as ``(2, n)``: real, imaginary part.

    Real numbers on both sides, so that a real sky has a real adjoint.

    Args:
        u, v: baselines in wavelengths, ``(n,)``.
        shape: of the image, ``(y, x)``.
        cell: side of a pixel in radians.
        dtype: float32 or float64.

    Raises:
        ShapeError: u and v of different lengths.
        DataError: baselines that are not finite, or longer than pixels of this size can show.
    """

    def __init__(
        self,
        u: Tensor,
        v: Tensor,
        shape: tuple[int, int],
        cell: float,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if u.ndim != 1 or u.shape != v.shape or len(shape) != 2:
            raise ShapeError(
                f"Visibilities got u {tuple(u.shape)}, v {tuple(v.shape)} and shape {shape}: give "
                "two vectors of one length and (y, x)"
            )
        if not cell > 0 or not bool(torch.isfinite(u).all() and torch.isfinite(v).all()):
            raise DataError(
                f"u or v is not finite, or the cell {cell} not above 0: flag and repair"
            )
        longest = float(torch.maximum(u.abs().max(), v.abs().max()))
        if longest * cell > 0.5:
            raise DataError(
                f"baselines of {longest:.4g} wavelengths need pixels below {0.5 / longest:.4g} "
                f"rad, got {cell:.4g}: use a smaller cell"
            )
        super().__init__(Space(tuple(shape), dtype), Space((2, len(u)), dtype))
        rows, columns = shape
        self.scale = math.sqrt(rows * columns)
        self.nufft: NUFFT | None = None
        self.along_y: Tensor | None
        self.along_x: Tensor | None
        self.register_buffer("along_y", None, persistent=False)
        self.register_buffer("along_x", None, persistent=False)
        if len(u) * rows * columns > DIRECT:
            cycles = torch.stack((v * cell * rows, -u * cell * columns), dim=-1)
            self.nufft = NUFFT(cycles.to(dtype), shape, dtype=dtype.to_complex())
            return
        m = (torch.arange(rows, dtype=torch.float64) - rows // 2) * cell
        across = -(torch.arange(columns, dtype=torch.float64) - columns // 2) * cell
        for name, base, place in (("along_y", v, m), ("along_x", u, across)):
            angle = -2 * math.pi * base.double()[:, None] * place[None, :]
            phase = torch.polar(torch.ones_like(angle), angle)
            self.register_buffer(name, phase.to(dtype.to_complex()), persistent=False)

    def _forward(self, x: Tensor) -> Tensor:
        if self.nufft is not None:
            seen = self.scale * self.nufft(x.to(x.dtype.to_complex()))
        else:
            assert self.along_y is not None and self.along_x is not None
            rows = x.to(self.along_x.dtype) @ self.along_x.mT  # (..., y, n)
            seen = (rows * self.along_y.mT).sum(dim=-2)
        return torch.stack((seen.real, seen.imag), dim=-2)

    def _adjoint(self, y: Tensor) -> Tensor:
        value = torch.complex(y[..., 0, :], y[..., 1, :])
        if self.nufft is not None:
            back: Tensor = self.scale * self.nufft.adjoint(value).real
            return back
        assert self.along_y is not None and self.along_x is not None
        spread = value[..., None, :].to(self.along_y.dtype) * self.along_y.mH
        return (spread @ self.along_x.conj()).real

    def normal_diagonal(self, weight: Tensor | None = None) -> Tensor:
        """``sum_i w_re cos^2 + w_im sin^2``; exactly ``sum w`` where both parts weigh the same."""
        if weight is None:
            weight = torch.ones((), dtype=self.domain.dtype)
        weight = self.range.expand(weight)
        if not torch.equal(weight[..., 0, :], weight[..., 1, :]):
            return super().normal_diagonal(weight)
        total = weight[..., 0, :].sum(dim=-1)
        return total[..., None, None].expand(*total.shape, *self.domain.shape)


def weights_of(
    u: Tensor,
    v: Tensor,
    sigma: Tensor,
    field: float,
    weighting: Weighting = "natural",
    robust: float = 0.0,
) -> Tensor:
    """Weights of visibilities for a dirty image, ``(n,)``.

    Natural: ``W = 1 / sigma^2``. Uniform: ``W / D`` with ``D`` the weight in its cell of the (u, v)
    plane, of side ``1 / field``. Briggs: ``W / (1 + D f^2)``, ``f^2 = (5 10^-robust)^2 sum W / sum
    D^2``; robust 2 is nearly natural, -2 nearly uniform.

    Raises OptionError for an unknown weighting, DataError for sigma that is not above 0.

    Source: Briggs, PhD thesis, New Mexico Tech (1995).
    """
    if weighting not in get_args(Weighting):
        raise OptionError(f"weighting {weighting!r}: choose {', '.join(get_args(Weighting))}")
    if not bool((sigma > 0).all()):
        raise DataError("visibilities have sigma of 0 or below: flag them")
    own = sigma.double() ** -2
    if weighting == "natural":
        return own
    # A visibility and its conjugate fall into mirrored cells of a real sky: those of its upper half
    # count. The cell says which half, since a row of cells lies on both sides of v = 0.
    cells = torch.stack((u, v)).double().mul(field).round().long()
    flip = (cells[1] < 0) | ((cells[1] == 0) & (cells[0] < 0))
    cells = torch.where(flip, -cells, cells)
    _, cell = torch.unique(cells, dim=1, return_inverse=True)
    density = torch.zeros(int(cell.max()) + 1, dtype=torch.float64).index_add(0, cell, own)
    if weighting == "uniform":
        return own / density[cell]
    f2 = (5 * 10**-robust) ** 2 * float(own.sum() / density.square().sum())
    return own / (1 + density[cell] * f2)


def dirty_image(operator: Visibilities, values: Tensor, weights: Tensor) -> Tensor:
    """``sum w Re(V exp(+2 pi i (u l + v m))) / sum w``, in Jy per dirty beam; values ``(2, n)``."""
    image: Tensor = operator.adjoint((weights / weights.sum()).to(values.dtype) * values)
    return image


def dirty_beam(operator: Visibilities, weights: Tensor) -> Tensor:
    """The dirty image of 1 Jy in the middle: peak 1, and never normalised by its sum."""
    values = torch.zeros(operator.range.shape, dtype=operator.range.dtype)
    values[0] = 1
    return dirty_image(operator, values, weights)


def restored(model: Tensor, residual: Tensor, beam: Tensor) -> Tensor:
    """``beam * model + residual``: from Jy/pixel to Jy/beam, ``(..., y, x)``.

    beam: the clean beam ``(ky, kx)`` with peak 1 and odd sides, so that a point of 1 Jy is 1
    Jy/beam; its sum is the area of the beam in pixels. residual: of the dirty image, in Jy/beam.

    Raises DataError for a beam whose peak is not 1: that would change the flux.
    """
    if abs(float(beam.max()) - 1) > 1e-3:
        raise DataError(f"the clean beam has a peak of {float(beam.max()):.4g}: divide it by that")
    shown: Tensor = Convolution(beam.to(model), model.shape[-2:], "zero")(model)
    return shown + residual


def clean_beam(beam: Tensor) -> tuple[float, float, float]:
    """FWHM of both axes in pixels, and angle from north through east in degrees.

    A Gaussian fitted to the logarithm of the main lobe above half of its peak.

    Raises DataError where the lobe is no wider than a pixel: use smaller cells.
    """
    rows, columns = (n // 2 for n in beam.shape)
    y0, x0 = min(rows, NEAR), min(columns, NEAR)
    lobe = beam[rows - y0 : rows + NEAR + 1, columns - x0 : columns + NEAR + 1]
    y, x = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float64) for n in lobe.shape), indexing="ij"
    )
    y, x = y - y0, x - x0
    # Only the lobe itself: what is above half, nearer than the first pixel below.
    radius = torch.hypot(y, x)
    edge = radius[lobe < 0.35].min() if bool((lobe < 0.35).any()) else radius.max()
    inside = (lobe > 0.5) & (radius < edge)
    if int(inside.sum()) < 5:
        raise DataError("the main lobe of the dirty beam has less than 5 pixels: use smaller cells")
    terms = torch.stack((x[inside] ** 2, 2 * x[inside] * y[inside], y[inside] ** 2), dim=1)
    a, b, c = (
        torch.linalg.lstsq(terms, -2 * lobe[inside].double().log()[:, None])[0].flatten().tolist()
    )
    precision = torch.tensor([[a, b], [b, c]], dtype=torch.float64)
    values, vectors = torch.linalg.eigh(precision)
    if not float(values[0]) > 0:
        raise DataError("the main lobe of the dirty beam is no peak: check weights and baselines")
    minor, major = (
        math.sqrt(8 * math.log(2) / value) for value in (float(values[1]), float(values[0]))
    )
    across, north = vectors[:, 0].tolist()  # of the long axis; east is -x
    return major, minor, math.degrees(math.atan2(-across, north)) % 180
