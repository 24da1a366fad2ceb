"""Non-Cartesian parallel MRI: coils and a non-uniform Fourier transform in one operator."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rimaging.errors import DataError, ShapeError
from rimaging.operators.coils import checked_maps, combine_coils, expand_coils, weighted_power
from rimaging.operators.density import in_cells, pipe_menon
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.likelihood import Likelihood
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.nufft import NUFFT, Backend
from rimaging.operators.space import Space
from rimaging.operators.toeplitz import Toeplitz

__all__ = ["NonCartesianMRI", "equalised"]

CACHE_BYTES = 2**22


class NonCartesianMRI(LinearOperator):
    """``(A x)_c = d F_k S_c x``: an image ``(*batch, y, x)`` to ``(*batch, coil, shot, sample)``.

    ``F_k`` is the `NUFFT`, equal to the centred orthonormal FFT on a full Cartesian grid. The
    normal operator ``sum_c conj(S_c) T S_c x`` takes ``T = F_k* d^2 F_k`` as a `Toeplitz` operator,
    which costs two FFTs on twice the image, whatever the number of samples.

    Args:
        maps: complex sensitivities, ``(*batch, coil, *spatial)``; with sets
            ``(*batch, set, coil, *spatial)``.
        trajectory: real ``(*batch, shot, sample, 2|3)``, order ``(ky, kx)`` or ``(kz, ky, kx)``, in
            cycles per field of view. Leading axes give each item its own.
        weight: real ``d >= 0``, ``(*batch, shot, sample)``, as a real mask of Cartesian k-space:
            the data are those of ``d F_k S``. One by default.
        sets: whether maps and images have an axis of sets (soft SENSE).
        backend: see `NUFFT`.

    Raises:
        ShapeError: a trajectory or weight of other axes. DataError: weights that are negative or
        zero everywhere; further see `checked_maps` and `NUFFT`.
    """

    def __init__(
        self,
        maps: Tensor,
        trajectory: Tensor,
        weight: Tensor | None = None,
        sets: bool = False,
        backend: Backend = "auto",
    ) -> None:
        ndim = trajectory.shape[-1] if trajectory.ndim else 0
        if trajectory.ndim < 3 or ndim not in (2, 3):
            raise ShapeError(
                "NonCartesianMRI expects a trajectory (..., shot, sample, 2|3), got "
                f"{tuple(trajectory.shape)}: give samples in one row as trajectory[None]"
            )
        maps = checked_maps(maps, sets, ndim, "NonCartesianMRI")
        spatial = tuple(maps.shape[-ndim:])
        coils, shots, samples = maps.shape[-ndim - 1], trajectory.shape[-3], trajectory.shape[-2]
        image = (maps.shape[-ndim - 2], *spatial) if sets else spatial
        super().__init__(Space(image, maps.dtype), Space((coils, shots, samples), maps.dtype))
        self.sets = sets
        self.ndim = ndim
        flat = trajectory.to(maps.device).flatten(-3, -2)
        flat = flat.unsqueeze(-3) if flat.ndim > 2 else flat  # an axis for the coils
        weight = _checked_weight(weight, (shots, samples), maps)
        self.nufft = NUFFT(flat, spatial, dtype=maps.dtype, backend=backend)
        self.toeplitz: Toeplitz | None = None
        self.maps: Tensor
        self.weight: Tensor | None
        self.register_buffer("maps", maps)
        self.register_buffer("weight", weight)

    @property
    def trajectory(self) -> Tensor:
        """``(*batch, shot, sample, 2|3)`` in cycles per field of view."""
        flat = self.nufft.trajectory
        flat = flat.squeeze(-3) if flat.ndim > 2 else flat
        shots: Tensor = flat.unflatten(-2, self.range.shape[-2:])
        return shots

    def _forward(self, x: Tensor) -> Tensor:
        y = self.nufft._forward(expand_coils(self.maps, x, self.sets, self.ndim))
        y = torch.unflatten(y, -1, self.range.shape[-2:])
        return y if self.weight is None else self.weight * y

    def _adjoint(self, y: Tensor) -> Tensor:
        z = self.nufft._adjoint((y if self.weight is None else self.weight * y).flatten(-2))
        return combine_coils(self.maps, z, self.sets, self.ndim)

    def _normal(self, x: Tensor) -> Tensor:
        toeplitz = self._toeplitz()
        parts = (
            combine_coils(
                maps,
                toeplitz._forward(expand_coils(maps, x, self.sets, self.ndim)),
                self.sets,
                self.ndim,
            )
            for maps in self.maps.split(self._coils_at_once(x), dim=-self.ndim - 1)
        )
        total = next(parts)
        for part in parts:
            total = total + part
        return total

    def _toeplitz(self) -> Toeplitz:
        """``F_k* d^2 F_k``, made at the first use: an adjoint or a residual needs none."""
        if self.toeplitz is None:
            power = None if self.weight is None else self.weight.square().flatten(-2)
            shape = self.nufft.domain.shape
            with torch.inference_mode(False):  # so that autograd may save its spectrum
                found = Toeplitz(self.nufft.trajectory.clone(), shape, power, self.maps.dtype)
            self.toeplitz = found.to(self.maps.device)
        return self.toeplitz

    def _coils_at_once(self, x: Tensor) -> int:
        """On a CPU, as many coils as stay in its cache with their padding."""
        coils = self.maps.shape[-self.ndim - 1]
        if x.device.type != "cpu":
            return coils
        padded = int(x.numel() * x.element_size() * 2**self.ndim)
        return max(1, min(coils, CACHE_BYTES // padded))

    def density(self, given: Tensor | None = None) -> Tensor:
        """The area of k-space that each sample stands for, ``(*batch, shot, sample)``, in cells.

        For each trajectory by `pipe_menon`, or as given, on any scale.
        """
        k = self.trajectory
        shape = self.nufft.domain.shape
        batch = k.shape[:-3]
        if given is not None and given.ndim - 2 > len(batch):
            batch = given.shape[:-2]
        items = k.expand(*batch, *k.shape[-3:]).reshape(-1, *k.shape[-3:])
        if given is None:
            found = [pipe_menon(item, shape) for item in items]
        else:
            weights = given.expand(*batch, *k.shape[-3:-1]).reshape(-1, *k.shape[-3:-1])
            found = [in_cells(w, item, shape) for w, item in zip(weights, items, strict=True)]
        return torch.stack(found).reshape(*batch, *k.shape[-3:-1])

    @property
    def locality(self) -> tuple[int, ...]:
        """The spatial axes, and that of the sets."""
        return tuple(range(-self.ndim - self.sets, 0))

    def normal_diagonal(self, weight: Tensor | None = None) -> Tensor:
        """``sum_c |S_c|^2 sum_i d_i^2 w_ci / N``: samples per pixel times the coils' power."""
        total = torch.ones((1, *self.range.shape[-2:])).to(self.maps.real)
        if self.weight is not None:
            total = self.weight.square()
        if weight is not None:
            total = self.range.expand(total * weight)
        share = total.sum(dim=(-2, -1)) / math.prod(self.maps.shape[-self.ndim :])
        return weighted_power(
            self.maps,
            share.reshape(*share.shape, *(1 for _ in range(self.ndim))),
            self.sets,
            self.ndim,
        )


def equalised(likelihood: Likelihood, density: Tensor | None = None) -> Likelihood:
    """The same likelihood with ``W -> min(1, density) W``, if it is one of non-Cartesian k-space.

    Samples that lie closer than a cycle per field of view, as spokes do in the middle, together
    count as one for each cell of the grid; no sample counts for more than it is. The eigenvalues of
    ``A* W A`` then lie between 0 and 1 as those of a Cartesian mask do, instead of reaching the
    number of spokes, and so a RIM trained on masks, and few conjugate-gradient steps, can serve. It
    states the noise of what was measured many times too high, never too low.

    Args:
        likelihood: of any operator; another than `NonCartesianMRI`, or one that has a weight, is
            given back as it is.
        density: ``(*batch, shot, sample)`` on any scale; by default that of `pipe_menon`.
    """
    operator = likelihood.operator
    if not isinstance(operator, NonCartesianMRI) or not isinstance(likelihood, Gaussian):
        return likelihood
    if operator.weight is not None or likelihood.whitener is not None:
        return likelihood
    k = operator.trajectory
    weight = operator.density(density).to(operator.maps.real).clamp(max=1).sqrt()
    balanced = NonCartesianMRI(operator.maps, k, weight, sets=operator.sets)
    balanced.nufft = operator.nufft
    assert balanced.weight is not None
    sigma = likelihood.precision.clamp_min(torch.finfo(weight.dtype).tiny).rsqrt()
    return Gaussian(balanced, balanced.weight * likelihood.y, sigma)


def _checked_weight(weight: Tensor | None, shape: tuple[int, int], maps: Tensor) -> Tensor | None:
    """``(*batch, 1, shot, sample)``, the axis of one for the coils."""
    if weight is None:
        return None
    if weight.is_complex() or tuple(weight.shape[-2:]) != shape:
        raise ShapeError(
            f"NonCartesianMRI expects real weights (..., {shape[0]}, {shape[1]}), one for each "
            f"sample, got {tuple(weight.shape)}: give those of this trajectory"
        )
    good = torch.isfinite(weight) & (weight >= 0)
    if not bool(good.all()) or not bool((weight > 0).any()):
        raise DataError(
            "NonCartesianMRI got weights that are negative, not finite or zero everywhere: "
            "give d >= 0"
        )
    return weight.to(device=maps.device, dtype=maps.real.dtype).unsqueeze(-3)
