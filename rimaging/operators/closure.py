"""Closure quantities: what the unknown gains of the stations cannot change.

A station multiplies what it receives by a complex gain, ``V_ij = g_i conj(g_j) (A x)_ij``. Around a
triangle the phases of the gains cancel, around a quadrangle their amplitudes.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from rimaging.errors import DataError, ShapeError
from rimaging.operators.nonlinear import NonlinearOperator
from rimaging.operators.operator import Operator
from rimaging.operators.space import Space
from rimaging.operators.visibilities import Visibilities

TINY = 1e-12
"""Jy below which an amplitude is no further divided by."""


class Closures(NonlinearOperator):
    """``x -> (cos psi, sin psi, C log |V|)`` with ``V = A x``, one flat vector.

    ``psi = arg V_a V_b conj(V_c)`` around each triangle: its cosine and sine, since a phase wraps.
    ``C`` takes all independent combinations of the log amplitudes in which the gains cancel, and
    whitens them.

    Args:
        operator: ``A``, of the visibilities of all times.
        triangles: indices of the visibilities ``(3, t)`` and ``signs (3, t)``: -1 where the
            visibility is that of the baseline turned round.
        blocks: for each time the indices of visibilities ``(b,)`` and rows of ``C``, ``(k, b)``.
    """

    def __init__(
        self,
        operator: Visibilities,
        triangles: Tensor,
        signs: Tensor,
        blocks: list[tuple[Tensor, Tensor]],
    ) -> None:
        rows = sum(len(block) for _, block in blocks)
        size = 2 * triangles.shape[1] + rows
        super().__init__(operator.domain, Space((size,), operator.domain.dtype))
        self.operator = operator
        total = operator.range.shape[1]
        matrix = torch.zeros(rows, total, dtype=operator.domain.dtype)
        row = 0
        for index, block in blocks:
            matrix[row : row + len(block), index] = block.to(matrix)
            row += len(block)
        self.matrix: Tensor
        self.triangles: Tensor
        self.signs: Tensor
        self.register_buffer("matrix", matrix, persistent=False)
        self.register_buffer("triangles", triangles, persistent=False)
        self.register_buffer("signs", signs.to(matrix), persistent=False)

    def of(self, values: Tensor) -> Tensor:
        """The closure quantities of visibilities ``(..., 2, n)``."""
        power = values.square().sum(dim=-2).clamp_min(TINY**2)
        amplitude = power.sqrt()
        unit = torch.complex(values[..., 0, :], values[..., 1, :]) / amplitude
        around = torch.ones_like(unit[..., self.triangles[0]])
        for index, sign in zip(self.triangles, self.signs, strict=True):
            side = unit[..., index]
            around = around * torch.complex(side.real, sign * side.imag)
        closed = 0.5 * power.log() @ self.matrix.mT
        return torch.cat((around.real, around.imag, closed), dim=-1)

    def _forward(self, x: Tensor) -> Tensor:
        return self.of(self.operator(x))

    pullback = Operator.pullback  # nothing is recorded: see vjp

    def vjp(self, x: Tensor, v: Tensor) -> Tensor:
        """``A*`` of the gradient with respect to the visibilities: the NUFFT need not be known."""
        self.range.check(v, "Closures.vjp")
        with torch.inference_mode(False), torch.enable_grad():
            leaf = self.operator(x.detach()).detach().clone().requires_grad_()
            (gradient,) = torch.autograd.grad(self.of(leaf), leaf, v.detach().clone())
        return self.operator.adjoint(gradient)


def closures_of(
    operator: Visibilities,
    values: Tensor,
    sigma: Tensor,
    stations: Tensor,
    times: Tensor,
    spread: float | None = None,
    least: float = 3.0,
) -> tuple[Closures, Tensor, Tensor]:
    """The operator of the closures of an observation, its data ``y`` and their sigma.

    Phases: all triangles with the best station of each time, which determine the others. Their
    sigma is ``sqrt(sum (sigma / |V|)^2)`` over the sides. Log amplitudes: with ``W = diag(|V| /
    sigma)`` and ``G`` the incidence of stations, ``C = Q^T W`` for ``Q`` an orthonormal basis of
    what ``W G`` does not reach, so that ``C G = 0`` and the noise is white: all closure amplitudes
    with their covariance, none twice. Where the gains are known within a ``spread``, a Gaussian of
    their logarithm, ``C = L^-1`` of the covariance ``L L^T = W^-2 + spread^2 G G^T`` instead: then
    the brightness is no longer free.

    Args:
        operator: ``A``. values: ``(2, n)``. sigma: ``(n,)``, of either part.
        stations: numbers of the two stations, ``(2, n)``. times: ``(n,)``, equal where at once.
        spread: standard deviation of ``log |g|``; None where nothing is known.
        least: visibilities of a lower ratio of signal to noise are left out: the logarithm of
            noise is biased.

    Raises:
        ShapeError: arrays of different lengths. DataError: no triangle at all.

    Source: Event Horizon Telescope Collaboration, ApJL 875, L3 (2019), section 8; Blackburn et al.,
    ApJ 894, 31 (2020).
    """
    count = operator.range.shape[1]
    if values.shape != (2, count) or sigma.shape != (count,) or stations.shape != (2, count):
        raise ShapeError(
            f"closures_of got values {tuple(values.shape)}, sigma {tuple(sigma.shape)}, stations "
            f"{tuple(stations.shape)} for {count} visibilities: give one of each for each"
        )
    snr = values.double().square().sum(dim=0).sqrt() / sigma.double()
    triangles: list[tuple[int, int, int]] = []
    signs: list[tuple[int, int, int]] = []
    blocks: list[tuple[Tensor, Tensor]] = []
    for time in torch.unique(times).tolist():
        here = ((times == time) & (snr > least)).nonzero().flatten()
        sides: dict[tuple[int, int], tuple[int, int]] = {}
        strength: dict[int, float] = {}
        for index in here.tolist():
            i, j = (int(s) for s in stations[:, index])
            sides[i, j], sides[j, i] = (index, 1), (index, -1)
            for station in (i, j):
                strength[station] = strength.get(station, 0.0) + float(snr[index])
        if len(strength) < 3:
            continue
        best = max(strength, key=lambda station: strength[station])
        for i, j in itertools.combinations(sorted(set(strength) - {best}), 2):
            around = [(best, i), (i, j), (j, best)]
            if all(side in sides for side in around):
                index_of, sign_of = zip(*(sides[side] for side in around), strict=True)
                triangles.append(index_of)
                signs.append(sign_of)
        block = _whitened(snr[here], stations[:, here], spread)
        if len(block):
            blocks.append((here, block))
    if not triangles:
        raise DataError(
            f"no triangle of baselines is above {least:g} sigma: average longer, or image the "
            "visibilities as they are"
        )
    corner = torch.tensor(triangles).T
    closures = Closures(operator, corner, torch.tensor(signs).T, blocks)
    y = closures.of(values.to(operator.domain.dtype))
    phase = snr[corner].pow(-2).sum(dim=0).sqrt().clamp_max(math.pi / 2)
    white = torch.ones(len(y) - 2 * len(phase), dtype=torch.float64)
    return closures, y, torch.cat((phase, phase, white)).to(y)


def _whitened(snr: Tensor, stations: Tensor, spread: float | None) -> Tensor:
    """The rows of ``C`` for one time, ``(k, b)``."""
    names, place = torch.unique(stations, return_inverse=True)
    incidence = torch.zeros(len(snr), len(names), dtype=torch.float64)
    for end in place:
        incidence[torch.arange(len(snr)), end] += 1
    weighted = snr[:, None] * incidence
    if spread is not None:
        # covariance of W log |V|: the noise, and the gains
        covariance = torch.eye(len(snr), dtype=torch.float64) + spread**2 * weighted @ weighted.T
        factor = torch.linalg.cholesky(covariance)
        rows: Tensor = torch.linalg.solve_triangular(factor, torch.diag(snr), upper=False)
        return rows
    basis, values, _ = torch.linalg.svd(weighted, full_matrices=True)
    rank = int((values > 1e-9 * values.max()).sum())
    left: Tensor = basis[:, rank:].T * snr[None, :]
    return left
