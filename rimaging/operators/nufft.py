"""The non-uniform Fourier transform: an image to samples anywhere in k-space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.kaiser_bessel import (
    apodisation,
    grid_shape,
    interpolation,
    kernel_shape,
    kernel_width,
    sparse,
    transposed,
)
from rimaging.operators.linear_operator import LinearOperator
from rimaging.operators.space import Space, check_tensor

__all__ = ["NUFFT", "Backend", "checked_trajectory"]

Backend = Literal["auto", "torch", "finufft"]

LARGEST_MATRIX = 2**29
"""Bytes of the interpolation matrix and its transpose, above which a library is preferred."""

COORDINATE = 5e-8
"""Relative error, for each pixel along an axis, of a library's coordinates in single precision."""

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
"""What is asked for by default: just above what the precision can hold."""


class NUFFT(LinearOperator):
    """``y_i = 1/sqrt(N) sum_r x_r exp(-2 pi i sum_d k_id (r_d - n_d // 2) / n_d)``.

    On the full Cartesian grid, ``k_d = 0, ..., n_d - 1`` less ``n_d // 2``, this is the centred
    orthonormal FFT of the house.

    Args:
        trajectory: real ``(*batch, sample, 2)`` in the order ``(ky, kx)``, or ``(*batch, sample,
            3)`` in the order ``(kz, ky, kx)``, in cycles per field of view, ``|k_d| <= n_d / 2``.
            Leading axes give each item of a batch its own trajectory; shots of one image are no
            batch: join their samples by ``trajectory.flatten(0, -2)``.
        shape: of the image, ``(y, x)`` or ``(z, y, x)``.
        dtype: complex64 or complex128.
        tolerance: relative error against the sum above; by default 1e-6, in double precision 1e-12.
        oversampling: of the grid of the torch backend, above 1.
        backend: ``"torch"``: Kaiser-Bessel interpolation by a sparse matrix; its adjoint is the
            conjugate transpose of the same matrix. ``"finufft"``: that library on a CPU, cufinufft
            on a GPU; it keeps no matrix. ``"auto"``: torch, but that library, where it is
            installed, for a matrix above 512 MiB (3-D).

    Raises:
        ShapeError: a trajectory whose last axis is not that of the image; a batch that is not that
        of the trajectories. DataError: one that is
        not finite, or goes beyond ``n/2``. OptionError: a backend that is not there.

    The gradient of torch's autograd is the adjoint, and the adjoint's the forward operator.

    Source: Fessler & Sutton (2003), IEEE Trans. Signal Process. 51, 560; Barnett, Magland & af
    Klinteberg (2019), SIAM J. Sci. Comput. 41, C479.
    """

    def __init__(
        self,
        trajectory: Tensor,
        shape: Sequence[int],
        *,
        dtype: torch.dtype = torch.complex64,
        tolerance: float | None = None,
        oversampling: float = 2.0,
        backend: Backend = "auto",
    ) -> None:
        domain = Space(tuple(shape), dtype)
        trajectory = checked_trajectory(trajectory, domain.shape, "NUFFT")
        super().__init__(domain, Space((trajectory.shape[-2],), dtype))
        self.tolerance = TOLERANCE[domain.real_dtype] if tolerance is None else tolerance
        if not 1e-15 < self.tolerance < 0.1 or oversampling < 1.25:
            raise OptionError(
                f"NUFFT got tolerance={self.tolerance}, oversampling={oversampling}: choose a "
                "tolerance from 1e-15 to 0.1 and an oversampling of 1.25 or more"
            )
        if backend not in get_args(Backend):
            raise OptionError(
                f"backend {backend!r} does not exist: choose {', '.join(get_args(Backend))}"
            )
        if backend == "finufft" and find_spec("finufft") is None:
            raise OptionError("backend='finufft' is not installed: pip install finufft")
        self.backend = backend
        self.oversampling = oversampling
        self.trajectory: Tensor
        self.gather: Tensor | None
        self.spread: Tensor | None
        self.register_buffer("trajectory", trajectory)
        self.register_buffer("gather", None, persistent=False)
        self.register_buffer("spread", None, persistent=False)

    def __getstate__(self) -> dict[str, Any]:
        """Without the matrices, which torch cannot copy and any process can make again."""
        state = dict(self.__dict__)
        state["_buffers"] = {**self._buffers, "gather": None, "spread": None}
        return state

    def _forward(self, x: Tensor) -> Tensor:
        samples: Tensor = _Transform.apply(x, self, False)  # type: ignore[no-untyped-call]
        return samples

    def _adjoint(self, y: Tensor) -> Tensor:
        image: Tensor = _Transform.apply(y, self, True)  # type: ignore[no-untyped-call]
        return image

    def normal_diagonal(self, weight: Tensor | None = None) -> Tensor:
        """``sum_i w_i / N`` for every pixel, since ``|A_ir|^2 = 1/N``."""
        n = self.domain.size
        ones = (1,) * len(self.domain.shape)
        if weight is None:
            share = torch.full(ones, self.range.size / n, dtype=self.domain.real_dtype)
            return share.to(self.trajectory.device)
        total = self.range.expand(weight).sum(dim=-1) / n
        return total.reshape(*total.shape, *ones)

    def transform(self, z: Tensor, adjoint: bool) -> Tensor:
        """Forward or adjoint without autograd, a trajectory and its items at a time."""
        axes = 1 if adjoint else len(self.domain.shape)
        grouped, batch, order = self._grouped(z, axes)
        library = self._library(z.device)
        run = self._by_torch if library is None else _by_library
        out = run(self, library, grouped, adjoint)
        own = [batch[i] for i in order]
        core = self.domain.shape if adjoint else self.range.shape
        inverse = sorted(range(len(order)), key=order.__getitem__)
        inverse += [len(batch) + i for i in range(len(core))]
        return out.reshape(*own, *core).permute(inverse).contiguous()

    def _grouped(self, z: Tensor, axes: int) -> tuple[Tensor, tuple[int, ...], list[int]]:
        """``(trajectory, item, *core)``; the whole batch; and the order of its axes therein."""
        own = tuple(self.trajectory.shape[:-2])
        core = z.shape[z.ndim - axes :]
        # (not torch.broadcast_shapes, which imports sympy: a second of CPU)
        given = tuple(z.shape[: z.ndim - axes])
        try:
            batch = np.broadcast_shapes(given, own)
        except ValueError:
            raise ShapeError(
                f"NUFFT has a trajectory for each item of a batch {own}, and got a batch {given}: "
                "join the shots of one image by trajectory.flatten(0, -2), or give all coils the "
                "same by trajectory.unsqueeze(-3)"
            ) from None
        aligned = (1,) * (len(batch) - len(own)) + own
        order = sorted(range(len(batch)), key=lambda i: aligned[i] == 1)
        z = z.expand(*batch, *core).permute(*order, *range(len(batch), len(batch) + axes))
        return z.reshape(math.prod(own), -1, *core), batch, order

    def _library(self, device: torch.device) -> Any:
        """The library that serves a device, or None for torch."""
        width = kernel_width(self.tolerance, self.oversampling)
        entries = self.trajectory[..., 0].numel() * width ** len(self.domain.shape)
        size = 2 * entries * (4 + torch.finfo(self.domain.real_dtype).bits // 8)
        if self.backend == "torch" or (self.backend == "auto" and size <= LARGEST_MATRIX):
            return None
        if device.type == "cpu" and find_spec("finufft") is not None:
            import finufft

            return finufft
        if device.type == "cuda" and find_spec("cufinufft") is not None:
            import cufinufft

            return cufinufft
        if self.backend == "finufft":
            raise OptionError("backend='finufft' needs cufinufft on a GPU: pip install cufinufft")
        return None

    def _by_torch(self, _: NUFFT, __: None, z: Tensor, adjoint: bool) -> Tensor:
        shape = self.domain.shape
        axes = tuple(range(-len(shape), 0))
        width = kernel_width(self.tolerance, self.oversampling)
        beta = kernel_shape(width, self.oversampling)
        grid = grid_shape(shape, self.oversampling, width)
        gather, spread = self._matrices(grid, width, beta, z.real.dtype)
        scale = torch.full((1,) * len(shape), self.domain.size**-0.5, dtype=torch.float64)
        for axis, (n, cells) in enumerate(zip(shape, grid, strict=True)):
            factor = apodisation(n, cells, width, beta)
            scale = scale * factor.reshape(-1, *(1 for _ in shape[axis + 1 :]))
        scale = scale.to(device=z.device, dtype=z.real.dtype)
        before = [cells // 2 - n // 2 for n, cells in zip(shape, grid, strict=True)]
        items, count = z.shape[:2]
        if adjoint:
            columns = torch.view_as_real(z.transpose(1, 2).contiguous()).reshape(-1, 2 * count)
            spectrum = _as_complex(spread @ columns, items, count).reshape(items, count, *grid)
            z = torch.fft.ifftn(spectrum, dim=axes, norm="forward")
            for axis, n, first in zip(axes, shape, before, strict=True):
                z = z.narrow(axis, first, n)
            return scale * z
        margins = [
            side
            for n, cells, first in zip(
                reversed(shape), reversed(grid), reversed(before), strict=True
            )
            for side in (first, cells - n - first)
        ]
        spectrum = torch.fft.fftn(F.pad(scale * z, margins), dim=axes).flatten(2)
        columns = torch.view_as_real(spectrum.transpose(1, 2).contiguous()).reshape(-1, 2 * count)
        return _as_complex(gather @ columns, items, count)

    def _matrices(
        self, grid: tuple[int, ...], width: int, beta: float, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """The interpolation matrix and its transpose, made at the first use."""
        if self.gather is None or self.spread is None:
            trajectory = self.trajectory.reshape(-1, *self.trajectory.shape[-2:])
            items, count, _ = trajectory.shape
            found = interpolation(trajectory, self.domain.shape, grid, width, beta)
            rows, columns, values = found
            values = values.to(self.domain.real_dtype)
            size = (items * count, items * math.prod(grid))
            self.gather = sparse(rows, columns, values, size)
            self.spread = sparse(*transposed(rows, columns, values, size))
        return self.gather.to(dtype), self.spread.to(dtype)


class _Transform(torch.autograd.Function):
    """``A z`` or ``A* z``; each is the other's backward."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, operator: NUFFT, adjoint: bool) -> Tensor:
        ctx.settings = operator, adjoint
        return operator.transform(z.detach(), adjoint)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        operator, adjoint = ctx.settings
        back: Tensor = _Transform.apply(gradients[0], operator, not adjoint)  # type: ignore[no-untyped-call]
        return back, None, None


def _by_library(operator: NUFFT, library: Any, z: Tensor, adjoint: bool) -> Tensor:
    """By finufft or cufinufft, one call for each trajectory."""
    shape = operator.domain.shape
    name = f"nufft{len(shape)}d{1 if adjoint else 2}"
    single = z.dtype == torch.complex64 and COORDINATE * max(shape) < 5 * operator.tolerance
    real = torch.float32 if single else torch.float64
    kind, z = z.dtype, z.to(real.to_complex())
    settings = {"eps": max(operator.tolerance, 6e-8 if single else 1e-14)}
    settings["isign"] = 1 if adjoint else -1
    cpu = z.device.type == "cpu"
    sizes = (shape,) if adjoint else ()
    core = shape if adjoint else operator.range.shape
    results = []
    trajectories = operator.trajectory.reshape(-1, *operator.trajectory.shape[-2:])
    for trajectory, part in zip(trajectories, z, strict=True):
        points = [
            (trajectory[:, axis] * (2 * math.pi / n)).to(real).contiguous()
            for axis, n in enumerate(shape)
        ]
        part = part.contiguous().resolve_conj()
        if cpu:
            arrays = [p.numpy() for p in points]
            out = getattr(library, name)(*arrays, part.numpy(), *sizes, **settings)
            # (the library drops the axis of a single item)
            results.append(torch.from_numpy(out).reshape(len(part), *core))
        else:
            out = getattr(library, name)(*points, part, *sizes, **settings)
            results.append(out.reshape(len(part), *core))
    samples: Tensor = torch.stack(results).to(kind) * operator.domain.size**-0.5
    return samples


def _as_complex(columns: Tensor, items: int, count: int) -> Tensor:
    """``(items * n, 2 count)`` to ``(items, count, n)``."""
    pairs = columns.reshape(items, -1, count, 2)
    return torch.view_as_complex(pairs).transpose(1, 2)


def checked_trajectory(trajectory: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
    """The trajectory in double precision, or an error for one that no image has."""
    check_tensor(trajectory, name)
    axes = len(shape)
    if axes not in (2, 3) or trajectory.ndim < 2 or trajectory.shape[-1] != axes:
        raise ShapeError(
            f"{name} of an image {shape} expects a trajectory (..., sample, {axes}), got "
            f"{tuple(trajectory.shape)}: move the axis of the 2 or 3 coordinates to the end"
        )
    if trajectory.is_complex() or not bool(torch.isfinite(trajectory).all()):
        raise DataError(
            f"{name} got a trajectory that is complex, NaN or infinite: give real (ky, kx) in "
            "cycles per field of view"
        )
    trajectory = trajectory.to(torch.float64)
    reach = trajectory.abs().flatten(0, -2).amax(dim=0).tolist()
    if any(k > n / 2 * (1 + 1e-3) for k, n in zip(reach, shape, strict=True)):
        seen = ", ".join(f"{k:.4g}" for k in reach)
        raise DataError(
            f"{name} got a trajectory out to ({seen}) cycles per field of view, an image {shape} "
            f"has {tuple(n / 2 for n in shape)}: give a larger image, or divide radians by 2 pi"
        )
    return trajectory
