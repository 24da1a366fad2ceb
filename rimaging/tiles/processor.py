"""Deconvolution of a block of a sky that is too large to be seen at once.

What the door `rimaging.astro` estimates from an image (level, noise, target) comes from a sample of
the mosaic, once, and is the same for every tile: no statistic is ever taken over a tile. So are the
step lengths of conjugate gradients (`rimaging.rim.lengths`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rimaging.errors import DataError
from rimaging.mosaic.sources import Slices, open_source
from rimaging.mosaic.task import Process, unpack
from rimaging.mosaic.tiles import Unit
from rimaging.operators.convolution import Convolution
from rimaging.operators.likelihood import Gaussian
from rimaging.reconstruct import choose_device, weighted_residual
from rimaging.rim.lengths import StepLengths
from rimaging.rim.rim import RIM
from rimaging.rim.weights import load_weights

BATCH = 1 << 20
"""Pixels that are computed at once, where a block has many channels; one plane at least."""


class LocalLikelihood:
    """A likelihood whose noise scale is the whole image's, not that of the tile."""

    def __init__(self, inner: Gaussian, scale: Tensor) -> None:
        self.inner = inner
        self._scale = scale

    @property
    def noise_scale(self) -> Tensor:
        """One typical standard deviation for each channel, ``(channel, 1, 1)``."""
        return self._scale

    @property
    def item_axes(self) -> int:
        """Of one channel: y and x."""
        return 2

    def zeros(self) -> Tensor:
        """An image of zeros."""
        return self.inner.zeros()

    def score(self, x: Tensor) -> Tensor:
        """As of the likelihood inside."""
        return self.inner.score(x)

    def curvature(self, x: Tensor, v: Tensor) -> Tensor:
        """As of the likelihood inside."""
        return self.inner.curvature(x, v)

    def information(self) -> Tensor:
        """As of the likelihood inside."""
        return self.inner.information()


def tile_processor(settings: dict[str, Any]) -> Process:
    """The function of a mosaic's task: see `SkyTiles`."""
    return SkyTiles(settings)


class SkyTiles:
    """Deconvolves blocks: ``process(block, unit)``, the planes "image" and perhaps "residual".

    settings: ``weights`` (path) and ``sha256``, ``steps``; ``kernel`` ``(1 or channel, y, x)``,
    ``sigma`` and ``level`` ``(channel,)``, ``lengths`` ``(iteration, 2, channel)`` or None, packed;
    ``noise``: the source of a map of standard deviations or None; ``mask``: that of a map, with
    ``good`` "one" or "zero", or None; ``residual``: whether to give it.

    Pixels that are NaN or masked weigh nothing; those without any measured pixel within reach of
    the kernel come back NaN.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.device = choose_device(None)
        rim, self.card = load_weights(settings["weights"], settings["sha256"])
        self.rim: RIM = rim.to(self.device)
        self.steps: int = settings["steps"]
        self.kernel = self._tensor(unpack(settings["kernel"]))
        self.sigma = self._tensor(unpack(settings["sigma"]))
        self.level = self._tensor(unpack(settings["level"]))
        packed = settings["lengths"]
        self.lengths = None if packed is None else self._tensor(unpack(packed))
        self.noise: dict[str, Any] | None = settings["noise"]
        self.mask: dict[str, Any] | None = settings["mask"]
        self.residual: bool = settings["residual"]
        self._operators: dict[tuple[int, int, int, int], Convolution] = {}

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.asarray(array, np.float32)).to(self.device)

    def __call__(self, block: NDArray[Any], unit: Unit) -> dict[str, NDArray[Any]]:
        """The planes of a block, on the core of its unit."""
        channels, height, width = block.shape
        batch = max(1, BATCH // (height * width))
        first = 0
        parts: list[dict[str, NDArray[Any]]] = []
        while first < channels:
            part = slice(first, min(first + batch, channels))
            try:
                parts.append(self._some(block[part], unit, part))
                first = part.stop
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                if batch == 1:
                    raise DataError(
                        f"a block of {height} x {width} pixels does not fit {self.device}, one "
                        "channel at a time: give a smaller --tile"
                    ) from None
                batch = max(1, batch // 2)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _some(self, block: NDArray[Any], unit: Unit, part: slice) -> dict[str, NDArray[Any]]:
        channel = unit.core[0].start
        own = slice(channel + part.start, channel + part.stop)
        place = (own, unit.block[1], unit.block[2])
        y, weight = self.data(block, place)
        inside = (slice(None), unit.inside[1], unit.inside[2])
        if weight is not None and not bool(weight.any()):
            shape = y[inside].shape
            empty = np.full(shape, np.nan, np.float32)
            nothing = {"residual": np.zeros(shape, np.float32)} if self.residual else {}
            return {"image": empty, **nothing}
        with torch.inference_mode():
            likelihood = self.likelihood(y, weight, place)
            lengths = None
            if self.lengths is not None:
                lengths = StepLengths(self.lengths[:, :, own_of(own, self.lengths.shape[2])])
            local = LocalLikelihood(
                likelihood, self.sigma[own_of(own, len(self.sigma)), None, None]
            )
            x = self.rim(local, steps=self.steps, lengths=lengths)[-1]
            planes = {"image": self._known(x + self._level(own), weight)[inside]}
            if self.residual:
                planes["residual"] = weighted_residual(likelihood, x)[0][inside]
        return {name: plane.cpu().numpy() for name, plane in planes.items()}

    def likelihood(self, y: Tensor, weight: Tensor | None, place: Slices) -> Gaussian:
        """The likelihood of data above the sky; mirrored at the edges of the block."""
        own = place[0]
        sigma = self.sigma[own_of(own, len(self.sigma)), None, None]
        if self.noise is not None:
            sigma = self._tensor(open_source(self.noise).read(place))
            bad = ~(torch.isfinite(sigma) & (sigma > 0))
            if bool(bad.any()):
                sigma = torch.where(bad, 1.0, sigma)
                weight = torch.where(bad, 0.0, torch.ones_like(y) if weight is None else weight)
        return Gaussian(self.operator(own, y.shape[-2:]), y, sigma, weight=weight)

    def data(self, block: NDArray[Any], place: Slices) -> tuple[Tensor, Tensor | None]:
        """Data above the sky, and their weight unless it is one everywhere."""
        y = self._tensor(block) - self._level(place[0])
        good = torch.isfinite(y)
        if self.mask is not None:
            values = self._tensor(open_source(self.mask["source"]).read(place))
            good &= (values > 0.5) if self.mask["good"] == "one" else (values == 0)
        if bool(good.all()):
            return y, None
        return torch.where(good, y, 0.0), good.to(y.dtype)

    def _level(self, own: slice) -> Tensor:
        return self.level[own_of(own, len(self.level)), None, None]

    def operator(self, own: slice, shape: torch.Size) -> Convolution:
        """The blur of some channels; the last few are kept, since blocks are alike."""
        kernels = self.kernel[own_of(own, len(self.kernel))]
        key = (own.start if len(self.kernel) > 1 else 0, len(kernels), *shape)
        if key not in self._operators:
            if len(self._operators) >= 4:
                self._operators.pop(next(iter(self._operators)))
            self._operators[key] = Convolution(kernels, tuple(shape), "reflect")
        return self._operators[key]

    def _known(self, x: Tensor, weight: Tensor | None) -> Tensor:
        """NaN where no measured pixel is within reach; raises DataError for other NaN."""
        if not bool(torch.isfinite(x).all()):
            raise DataError(
                "the result is not finite: check that noise and data have the same units"
            )
        if weight is None:
            return x
        reach = (self.kernel.shape[-2] // 2, self.kernel.shape[-1] // 2)
        near = weight
        # along x, then along y: a box is separable
        for kernel, pad in (
            ((1, 2 * reach[1] + 1), (0, reach[1])),
            ((2 * reach[0] + 1, 1), (reach[0], 0)),
        ):
            near = torch.nn.functional.max_pool2d(near[:, None], kernel, 1, pad)[:, 0]
        return torch.where(near > 0, x, torch.nan)


def own_of(own: slice, count: int) -> slice:
    """The channels ``own`` of something of ``count``, which all may share."""
    return own if count > 1 else slice(0, 1)
