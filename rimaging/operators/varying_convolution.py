"""Convolution with a point spread function that changes over the image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rimaging.errors import ShapeError
from rimaging.operators.convolution import Boundary, Convolution
from rimaging.operators.linear_operator import LinearOperator, Locality
from rimaging.operators.space import check_tensor


class VaryingConvolution(LinearOperator):
    """``A x = sum_k p_k * (a_k x)``: a star at pixel ``j`` has the PSF ``sum_k a_k(j) p_k``.

    Exact for every PSF that is a sum of fixed images with smooth weights: polynomials of the
    position (PSFEx), interpolation between the nodes of a grid, principal components. A constant
    weight 1 of one image is `Convolution`.

    Args:
        psfs: real, ``(*batch, k, ky, kx)`` with odd sides; used as they come. Single ones may have
            any sum; those that are zero everywhere add nothing and are dropped with their weights,
            but not all may be.
        weights: ``a``, real, ``(*batch, k, y, x)`` on the domain, which for ``boundary="valid"`` is
            larger than the image by the radius of the PSF.
        shape: of the blurred image, ``(y, x)``.
        boundary: what lies outside the image, see `Convolution`.

    Raises:
        ShapeError: even sides, another number of weights than images, weights of another size.
        DataError, OptionError: as `Convolution`.

    Source: Nagy & O'Leary, SIAM J. Sci. Comput. 19, 1063 (1998).
    """

    def __init__(
        self,
        psfs: Tensor,
        weights: Tensor,
        shape: Sequence[int],
        boundary: Boundary = "zero",
    ) -> None:
        check_tensor(psfs, "VaryingConvolution")
        check_tensor(weights, "VaryingConvolution")
        if len(shape) != 2 or psfs.ndim < 3 or weights.ndim < 3:
            raise ShapeError(
                "VaryingConvolution expects PSFs (..., k, y, x), weights (..., k, y, x) and a "
                f"shape (y, x), got {tuple(psfs.shape)}, {tuple(weights.shape)}, {tuple(shape)}"
            )
        count = psfs.shape[-3]
        seen = (psfs != 0).flatten(-2).any(dim=-1).reshape(-1, count).any(dim=0)
        if bool(seen.any()) and not bool(seen.all()) and weights.shape[-3] == count:
            psfs, weights = psfs[..., seen, :, :], weights[..., seen.to(weights.device), :, :]
        terms = Convolution(psfs, shape, boundary)
        domain = terms.domain.shape
        if tuple(weights.shape[-2:]) != domain or weights.shape[-3] != psfs.shape[-3]:
            raise ShapeError(
                f"VaryingConvolution got weights {tuple(weights.shape)} for {psfs.shape[-3]} PSFs: "
                f"give (..., {psfs.shape[-3]}, {domain[0]}, {domain[1]}), one map for each"
            )
        super().__init__(terms.domain, terms.range)
        self.terms = terms
        self.boundary: Boundary = boundary
        self.psfs: Tensor
        self.weights: Tensor
        self.register_buffer("psfs", psfs, persistent=False)
        self.register_buffer("weights", weights.to(psfs.dtype), persistent=False)

    def _forward(self, x: Tensor) -> Tensor:
        seen: Tensor = self.terms(self.weights.to(x.dtype) * x.unsqueeze(-3))
        return seen.sum(dim=-3)

    def _adjoint(self, y: Tensor) -> Tensor:
        return (self.weights.to(y.dtype) * self.terms.adjoint(y.unsqueeze(-3))).sum(dim=-3)

    @property
    def locality(self) -> Locality:
        """The radius of the PSF images; a circular image is coupled through its edges."""
        return self.terms.locality

    def normal_diagonal(self, weight: Tensor | None = None) -> Tensor:
        """``sum_kl a_k a_l (w correlated with p_k p_l)``.

        Exact, but for pixels nearer than the radius to a mirror, as of `Convolution`.
        """
        if weight is None:
            weight = torch.ones((), dtype=self.range.dtype, device=self.psfs.device)
        weight = self.range.expand(weight)
        total = torch.zeros((), dtype=weight.dtype, device=weight.device)
        count = self.psfs.shape[-3]
        for k in range(count):
            for m in range(k, count):
                product = self.psfs[..., k, :, :] * self.psfs[..., m, :, :]
                if not bool(product.any()):
                    continue
                spread = Convolution(product, self.range.shape, self.boundary).adjoint(weight)
                pair = self.weights[..., k, :, :] * self.weights[..., m, :, :] * spread
                total = total + (pair if k == m else 2 * pair)
        return total.clamp_min(0)

    def normal_bound(self, weight: Tensor | None = None) -> Tensor:
        """``|A|* W |A| 1`` with ``|A| = sum_k |p_k| * |a_k|``: sums along rows, or more.

        Exact where neither PSFs nor weights are negative.
        """
        maps = self.weights.abs()
        seen = self.terms.absolute_forward(maps).sum(dim=-3, keepdim=True)
        weight = weight if weight is None else self.range.expand(weight).unsqueeze(-3)
        return (maps * self.terms.absolute_adjoint(seen, weight)).sum(dim=-3)
