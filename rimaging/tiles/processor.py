"""Deconvolution of a block of a sky that is too large to be seen at once.

What the door `rimaging.astro` estimates from an image (level, noise, target) comes from a sample of
the mosaic, once, and is the same for every tile: no statistic is ever taken over a tile. Channels
that are no larger than a tile are seen whole, and are treated as that door treats them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rimaging.datasets.detector import Detector
from rimaging.datasets.exposure import blank_areas, is_footprint
from rimaging.errors import DataError
from rimaging.method import choose_device
from rimaging.mosaic.sources import Slices
from rimaging.mosaic.task import Process, unpack
from rimaging.mosaic.tiles import Unit
from rimaging.operators.gaussian import with_own_noise
from rimaging.reconstruct import weighted_residual
from rimaging.rim.rim import RIM
from rimaging.rim.weights import load_weights
from rimaging.tiles.blur import Blur, unpack_blur
from rimaging.tiles.inputs import read_good, read_map, read_noise
from rimaging.tiles.local import LocalLikelihood
from rimaging.tiles.planes import (
    Channels,
    Seen,
    channels_of,
    in_own_unit,
    likelihood_of,
    without,
)

BATCH = 1 << 20
"""Pixels that are computed at once, where a block has many channels; one plane at least."""
GPU_BATCH = 1 << 24
"""The same on a GPU, which less would leave idle; what does not fit is halved."""


def tile_processor(settings: dict[str, Any]) -> Process:
    """The function of a mosaic's task: see `SkyTiles`."""
    return SkyTiles(settings)


class SkyTiles:
    """Deconvolves blocks: ``process(block, unit)``, planes "image", "uncertainty", "residual".

    settings: ``weights`` (path) and ``sha256``, ``steps``; ``blur``: see `rimaging.tiles.blur`;
    ``psf``: an example of it, packed;
    ``noise``, ``masks``, ``background``: maps, see `rimaging.tiles.inputs`, or None;
    ``saturation``: level from which on pixels are masked, or None; ``gain`` (or None) and
    ``read_noise``: of a detector that counts; ``channels``: how many the sky has;
    ``residual``, ``uncertainty``: whether to give them;
    ``add_residual``: whether the residual goes back into the image. Packed, for each channel, or
    None where it is to be taken from each plane: ``level`` of the sky, ``factor`` and ``scale`` of
    the noise (`rimaging.tiles.planes.Channels`), and whether its areas of exact zeros were never
    exposed (``footprint``, `rimaging.datasets.exposure`), all ``(channel,)``; ``per_beam``: what
    the image and its error are multiplied by where they count per beam, or absent.

    Pixels that are NaN or masked weigh nothing; those without any measured pixel within reach of
    the kernel come back NaN.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.device = choose_device(None)
        rim, self.card = load_weights(settings["weights"], settings["sha256"])
        self.rim: RIM = rim.to(self.device)
        self.steps: int = settings["steps"]
        self.blur: Blur = unpack_blur(settings["blur"], self.device)
        self.psf = self._tensor(unpack(settings["psf"]))
        self.level = self._unpacked(settings["level"])
        self.factor = self._unpacked(settings["factor"])
        self.scale = self._unpacked(settings["scale"])
        self.per_beam = self._unpacked(settings.get("per_beam"))
        self.footprint = self._unpacked(settings["footprint"])
        self.several: bool = settings["channels"] > 1
        self.noise: dict[str, Any] | None = settings["noise"]
        self.masks: list[dict[str, Any]] = settings["masks"]
        self.background: dict[str, Any] | None = settings["background"]
        self.saturation: float | None = settings["saturation"]
        gain = settings["gain"]
        self.detector = None if gain is None else Detector(gain, settings["read_noise"])
        self.residual: bool = settings["residual"]
        self.uncertainty: bool = settings["uncertainty"]
        self.add_residual: bool = settings["add_residual"]
        self.at_once = BATCH if self.device.type == "cpu" else GPU_BATCH

    def _unpacked(self, packed: dict[str, Any] | None) -> Tensor | None:
        return None if packed is None else self._tensor(unpack(packed))

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.asarray(array, np.float32)).to(self.device)

    def __call__(self, block: NDArray[Any], unit: Unit) -> dict[str, NDArray[Any]]:
        """The planes of a block, on the core of its unit."""
        channels, height, width = block.shape
        first = 0
        parts: list[dict[str, NDArray[Any]]] = []
        while first < channels:
            together = max(1, self.at_once // (height * width))
            part = slice(first, min(first + together, channels))
            try:
                parts.append(self._some(block[part], unit, part))
                first = part.stop
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                tried = part.stop - part.start
                if tried == 1:
                    raise DataError(
                        f"a block of {height} x {width} pixels does not fit {self.device}, one "
                        "channel at a time: give a smaller --tile"
                    ) from None
                self.at_once = tried // 2 * height * width  # for the blocks to come, too
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _some(self, block: NDArray[Any], unit: Unit, part: slice) -> dict[str, NDArray[Any]]:
        channel = unit.core[0].start
        place = (slice(channel + part.start, channel + part.stop), *unit.block[1:])
        seen = self.exposed(self.seen(block, place), place[0])
        inside = (slice(None), unit.inside[1], unit.inside[2])
        if seen.weight is not None and not bool(seen.weight.any()):
            shape = seen.data[inside].shape
            empty = np.full(shape, np.nan, np.float32)
            unsure = {"uncertainty": empty} if self.uncertainty else {}
            nothing = {"residual": np.zeros(shape, np.float32)} if self.residual else {}
            return {"image": empty, **unsure, **nothing}
        with torch.inference_mode():
            channels = self.channels(seen, place[0])
            near, own, size = seen, channels, None
            if self.detector is None:  # whose counts have a unit of their own
                near, own, size = in_own_unit(seen, channels)
            likelihood = likelihood_of(self.blur.operator(place), near, own, self.detector)
            local = LocalLikelihood(likelihood, own.scale)
            found = self.rim(local, steps=self.steps)
            x = found[-1]
            light = x + likelihood.unexplained(x) if self.add_residual else x
            if size is not None:
                light = light * size
            planes = {"image": self._known(self._sky(light, seen, channels), seen.weight)[inside]}
            if self.uncertainty:
                error = self.rim.error(local, found)[-1 if self.add_residual else 0]
                if self.add_residual:
                    error = with_own_noise(error, likelihood, own.scale)
                if size is not None:
                    error = error * size
                planes["uncertainty"] = self._known(error / self._per_unit, seen.weight)[inside]
            if self.residual:
                planes["residual"] = weighted_residual(likelihood, x)[0][inside]
            if self.per_beam is not None:
                for name in planes.keys() - {"residual"}:
                    planes[name] = planes[name] * self.per_beam[place[0], None, None]
        return {name: plane.cpu().numpy() for name, plane in planes.items()}

    def seen(self, block: NDArray[Any], place: Slices) -> Seen:
        """What was measured in a place, its maps of noise, of good pixels and of background."""
        data = self._tensor(block)
        good = torch.isfinite(data)
        if self.saturation is not None:
            good &= data < self.saturation
        fine = read_good(self.masks, place)
        if fine is not None:
            good &= torch.from_numpy(fine).to(self.device)
        noise = level = None
        if self.noise is not None:
            noise = self._tensor(read_noise(self.noise, place))
            good &= torch.isfinite(noise)
            noise = torch.nan_to_num(noise, nan=1.0)
        if self.background is not None:
            level = self._tensor(read_map(self.background, place))
            good &= torch.isfinite(level)
            level = torch.nan_to_num(level)
        if bool(good.all()):
            return Seen(data, None, noise, level)
        return Seen(torch.where(good, data, 0.0), good.to(data.dtype), noise, level)

    def exposed(self, seen: Seen, own: slice) -> Seen:
        """Without areas that were never exposed: of the whole sky, or by what is seen of it."""
        blank = blank_areas(seen.data, seen.good > 0)
        if not bool(blank.any()):
            return seen
        return without(seen, blank & self.footprints(seen, blank, own)[:, None, None])

    def footprints(self, seen: Seen, blank: Tensor, own: slice) -> Tensor:
        """In which channels ``blank`` areas of zeros were not exposed, ``(channel,)``."""
        if self.footprint is not None:
            return self.footprint[own] > 0
        several = self.several and self.detector is None
        planes = zip(seen.data, seen.good > 0, blank, strict=True)
        found = [is_footprint(plane, good, zeros, several=several) for plane, good, zeros in planes]
        return torch.tensor(found, device=blank.device)

    def channels(self, seen: Seen, own: slice) -> Channels:
        """Level and noise of some channels: of the whole sky, or of what is seen of them."""
        level, factor, scale = (
            None if values is None else values[own, None, None]
            for values in (self.level, self.factor, self.scale)
        )
        if level is not None and factor is not None and scale is not None:
            return Channels(level, factor, _known_scale(scale, seen, own))
        relative = self.noise is not None and bool(self.noise["relative"])
        return channels_of(
            seen, level, factor, relative=relative, detector=self.detector, psf=self.psf
        )

    def _sky(self, x: Tensor, seen: Seen, channels: Channels) -> Tensor:
        """An estimate above the sky in the units of the image, on its sky."""
        level = channels.level if seen.level is None else channels.level + seen.level
        return x / self._per_unit + level

    @property
    def _per_unit(self) -> float:
        """Of the estimate, one unit of the image: electrons, or one."""
        return 1.0 if self.detector is None else self.detector.gain

    def _known(self, x: Tensor, weight: Tensor | None) -> Tensor:
        """NaN where no measured pixel is within reach; raises DataError for other NaN."""
        if not bool(torch.isfinite(x).all()):
            raise DataError(
                "the result is not finite: check that noise and data have the same units"
            )
        if weight is None:
            return x
        reach = self.blur.radius
        near = weight
        # along x, then along y: a box is separable
        for kernel, pad in (
            ((1, 2 * reach[1] + 1), (0, reach[1])),
            ((2 * reach[0] + 1, 1), (reach[0], 0)),
        ):
            near = torch.nn.functional.max_pool2d(near[:, None], kernel, 1, pad)[:, 0]
        return torch.where(near > 0, x, torch.nan)


def _known_scale(scale: Tensor, seen: Seen, own: slice) -> Tensor:
    """The scale of channels that were not empty in the sample; raises DataError for the others."""
    unknown = torch.isnan(scale)
    if not bool(unknown.any()):
        return scale
    there = seen.good.flatten(1).any(dim=1)
    surprising = torch.nonzero(there & unknown.flatten())
    if len(surprising):
        raise DataError(
            f"channel {own.start + int(surprising[0])} was empty in the sample of the sky that the "
            "tiles share and is not here: deconvolve it by itself"
        )
    return torch.nan_to_num(scale, nan=1.0)
