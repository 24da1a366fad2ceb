"""The classical reconstructions of non-Cartesian k-space, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from rimaging.errors import DataError, OptionError
from rimaging.operators.density import pipe_menon
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.noncartesian import NonCartesianMRI, equalised
from rimaging.operators.nufft import NUFFT
from rimaging.solvers.cg import cg
from rimaging.solvers.l1_wavelet import wavelet_app
from rimaging.solvers.load_sigpy import load_sigpy
from rimaging.solvers.sigpy_sense import robust_max
from rimaging.solvers.total_variation import variation_app

__all__ = ["NonCartesianMethod", "grid_coils", "gridding", "solve_noncartesian"]

NonCartesianMethod = Literal["zero-filled", "cg-sense", "l1-wavelet", "tv"]

App = Callable[[Any, Any, float], Any]


def gridding(operator: NonCartesianMRI, y: Tensor, density: Tensor | None = None) -> Tensor:
    """``A* D y``: what the samples say where nothing else is known, ``(*batch, [set,] y, x)``.

    ``density`` is the area of each sample, ``(*batch, shot, sample)``, on any scale; by default
    that of `pipe_menon`, for the trajectory of each item.
    """
    return operator.adjoint(operator.density(density).unsqueeze(-3).to(y.real) * y)


def grid_coils(kspace: Tensor, trajectory: Tensor, shape: Sequence[int]) -> Tensor:
    """Root-sum-of-squares of the coils' gridded images, without maps: real, like ``shape``.

    Args:
        kspace: complex ``(coil, shot, sample)``. trajectory: ``(shot, sample, 2|3)`` in cycles per
            field of view. shape: ``(..., y, x)``, of which the last axes are the image's.
    """
    size = tuple(shape[-trajectory.shape[-1] :])
    weight = pipe_menon(trajectory, size).to(kspace.real).flatten()
    coils = NUFFT(trajectory.flatten(0, 1), size, dtype=kspace.dtype).adjoint(
        weight * kspace.flatten(-2)
    )
    return coils.abs().square().sum(dim=0).sqrt()


def solve_noncartesian(
    method: NonCartesianMethod,
    likelihood: Gaussian,
    *,
    lamda: float = 0.0,
    iterations: int = 30,
    density: Tensor | None = None,
) -> Tensor:
    """Reconstruct ``y = F_k S x + n`` by one of the methods that masks have.

    ``"zero-filled"`` is `gridding`. The others minimise ``1/2 |d (y - F_k S x)|^2`` with ``d^2 =
    min(1, density)`` (`equalised`) and a penalty: ``lambda/2 |x|^2`` by conjugate gradients,
    ``lambda |W x|_1`` or ``lambda |G x|_1`` by sigpy, for an image whose gridded picture has a 99th
    percentile of one. Volumes are penalised plane by plane.

    Args:
        method: as above; ``"cg-sense"``, ``"l1-wavelet"``, ``"tv"``.
        likelihood: of a `NonCartesianMRI` without weights.
        lamda, iterations: of the method.
        density: as for `gridding`.

    Returns:
        ``(*batch, y, x)``, with sets ``(*batch, set, y, x)``.

    Raises:
        OptionError: an unknown method, a negative lambda. DataError: nothing but zeros measured.

    Source: Pruessmann et al. (2001), Magn. Reson. Med. 46, 638 (density and conjugate gradients);
    Block, Uecker & Frahm (2007), Magn. Reson. Med. 57, 1086 (radial total variation).
    """
    operator = likelihood.operator
    assert isinstance(operator, NonCartesianMRI)
    if method not in get_args(NonCartesianMethod):
        raise OptionError(
            f"method {method!r} does not exist for a trajectory: choose "
            f"{', '.join(get_args(NonCartesianMethod))}"
        )
    density = operator.density(density)
    start = gridding(operator, likelihood.y, density)
    if method == "zero-filled":
        return start
    balanced = equalised(likelihood, density)
    weighted = balanced.operator
    assert isinstance(weighted, NonCartesianMRI)
    if method == "cg-sense":
        right = weighted.adjoint(balanced.y)
        return cg(weighted, right, damping=lamda, iterations=iterations).x
    app = (wavelet_app if method == "l1-wavelet" else variation_app)(lamda, iterations)
    return _by_sigpy(weighted, balanced.y, start, app)


def _by_sigpy(operator: NonCartesianMRI, y: Tensor, start: Tensor, app: App) -> Tensor:
    """Run ``app(A, y, bound)`` of one item after the other, each at unit scale, on the CPU."""
    axes = len(operator.domain.shape)
    batch = start.shape[: start.ndim - axes]
    scale = robust_max(start, operator.sets).reshape(*batch, -1).amax(dim=-1)  # of planes
    heard = (y != 0).flatten(-3).any(dim=-1)
    if not bool(torch.isfinite(scale).all()) or not bool(heard.all()):
        raise DataError("k-space is NaN or zero everywhere: nothing can be reconstructed")
    data = y.expand(*batch, *y.shape[-3:]).reshape(-1, *y.shape[-3:]).cpu()
    images = []
    for item, samples, c in zip(
        _items(operator, tuple(batch)), data, scale.reshape(-1).tolist(), strict=True
    ):
        if c == 0:  # a slice of air, where maps are zero
            images.append(torch.zeros(operator.domain.shape, dtype=start.dtype))
            continue
        bound = 1.05 * float(item.norm()) ** 2  # the power iteration comes from below
        image = app(_linop(item), (samples / c).numpy(), bound)
        images.append(c * torch.from_numpy(image).reshape(operator.domain.shape))
    return torch.stack(images).to(start).reshape(start.shape)


def _items(operator: NonCartesianMRI, batch: tuple[int, ...]) -> Iterator[NonCartesianMRI]:
    """One operator for each item of a batch, on the CPU."""
    count = 1
    for n in batch:
        count *= n
    core = 2 + operator.ndim - 1 + operator.sets
    maps, k, weight = operator.maps.cpu(), operator.trajectory.cpu(), operator.weight
    shared = k.ndim == 3 and (weight is None or weight.ndim == 3)

    def item(array: Tensor, axes: int, index: int) -> Tensor:
        own = array.shape[array.ndim - axes :]
        return array.expand(*batch, *own).reshape(count, *own)[index]

    first: NonCartesianMRI | None = None
    for index in range(count):
        d = None if weight is None else item(weight.squeeze(-3).cpu(), 2, index)
        one = NonCartesianMRI(item(maps, core, index), item(k, 3, index), d, sets=operator.sets)
        if shared and first is not None:
            one.nufft, one.toeplitz = first.nufft, first.toeplitz
        first = one if first is None else first
        yield one


def _linop(operator: NonCartesianMRI) -> Any:
    """The operator as one of sigpy's, from ``(set, y, x)``, with one set where there are none."""
    load_sigpy()
    from sigpy.linop import Linop

    shape = operator.domain.shape if operator.sets else (1, *operator.domain.shape)

    def numpy(z: Tensor, shape: tuple[int, ...]) -> Any:
        return z.reshape(shape).numpy()

    class Forward(Linop):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(operator.range.shape, shape, repr_str="NonCartesian")

        def _apply(self, x: Any) -> Any:
            image = torch.from_numpy(x).reshape(operator.domain.shape)
            return numpy(operator.forward(image), operator.range.shape)

        def _adjoint_linop(self) -> Any:
            return Backward()

        def _normal_linop(self) -> Any:
            return Normal()

    class Backward(Linop):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(shape, operator.range.shape, repr_str="NonCartesianAdjoint")

        def _apply(self, y: Any) -> Any:
            return numpy(operator.adjoint(torch.from_numpy(y)), shape)

        def _adjoint_linop(self) -> Any:
            return Forward()

    class Normal(Linop):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(shape, shape, repr_str="NonCartesianNormal")

        def _apply(self, x: Any) -> Any:
            image = torch.from_numpy(x).reshape(operator.domain.shape)
            return numpy(operator.normal(image), shape)

        def _adjoint_linop(self) -> Any:
            return self

    return Forward()
