"""SqueezeNet 1.1 up to a layer: the operator of deep visualisation, from a picture to features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from rimaging.errors import DataError, OptionError, ShapeError
from rimaging.operators.nonlinear import NonlinearOperator
from rimaging.operators.space import Space

MEAN = (123.0, 117.0, 104.0)
"""Red, green and blue in counts that the network takes for zero; its own order is blue first."""

SEQUENCE = (
    "conv1",
    "pool1",
    "fire2",
    "fire3",
    "pool3",
    "fire4",
    "fire5",
    "pool5",
    "fire6",
    "fire7",
    "fire8",
    "fire9",
    "conv10",
)
LAYERS = tuple(name for name in SEQUENCE if not name.startswith("pool"))
"""Layers whose features, after the rectifier, can be asked for."""


class SqueezeNet(NonlinearOperator):
    """``A x = phi_l(x) / g``: the features of one layer of SqueezeNet 1.1.

    ``x`` is RGB with white at 1, less the network's `MEAN`, so that zero is its mean colour. ``g``
    brings the derivative to order one: with it ``J* J`` has unit mean diagonal at a smooth random
    picture of a photograph's contrast, and noise of ``sigma`` in the features is like noise of
    ``sigma`` in the pixels.

    Args:
        weights: ``<layer>.weight`` (out, in, ky, kx) and ``<layer>.bias`` of every layer up to the
            last one, such as ``conv1.weight`` or ``fire2.squeeze1x1.weight``.
        layer: one of `LAYERS`.
        shape: of the picture, ``(y, x)``; 15 or more.
        dtype: float32 or float64.

    Raises:
        OptionError: a layer that does not exist. DataError: weights that lack.
        ShapeError: a picture that is too small for the layer.

    Source: Iandola et al., arXiv:1602.07360; Mahendran & Vedaldi, arXiv:1412.0035 (the problem).
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        layer: str,
        shape: Sequence[int],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if layer not in LAYERS:
            raise OptionError(f"layer {layer!r} does not exist: choose {', '.join(LAYERS)}")
        super().__init__(Space((3, *shape), dtype), Space((1,), dtype))
        self.layer = layer
        self.sequence = SEQUENCE[: SEQUENCE.index(layer) + 1]
        for name in self.sequence:
            for part in _parts(name):
                for kind in ("weight", "bias"):
                    key = f"{part}.{kind}"
                    if key not in weights:
                        raise DataError(f"SqueezeNet lacks {key!r}: give all layers up to {layer}")
                    self.register_buffer(_buffer(key), weights[key].to(dtype), persistent=False)
        self.gain: Tensor
        self.register_buffer("gain", torch.ones((), dtype=dtype), persistent=False)
        generator = torch.Generator().manual_seed(0)
        blobs = torch.randn(1, 3, 8, 8, generator=generator, dtype=dtype)
        picture = 0.2 * F.interpolate(blobs, tuple(shape), mode="bicubic")[0]
        try:
            features = self._forward(picture)
        except RuntimeError:
            raise ShapeError(
                f"a picture of {tuple(shape)} pixels is too small for {layer}: give a larger one"
            ) from None
        self.range = Space(tuple(features.shape), dtype)
        signs = torch.randint(0, 2, (4, *self.domain.shape), generator=generator) * 2 - 1
        power = self.jvp(picture.expand(signs.shape), signs.to(dtype)).square().sum() / len(signs)
        # E |J z|^2 over random signs is the trace of J* J.
        self.gain.copy_((power / self.domain.size).sqrt())

    def _forward(self, x: Tensor) -> Tensor:
        batch = x.shape[:-3]
        features = 255 * x.reshape(-1, *x.shape[-3:]).flip(-3)
        for name in self.sequence:
            if name.startswith("pool"):
                features = F.max_pool2d(features, 3, 2)
            elif name.startswith("conv"):
                features = self._layer(features, name, stride=2 if name == "conv1" else 1)
            else:
                squeezed = self._layer(features, f"{name}.squeeze1x1")
                wide = self._layer(squeezed, f"{name}.expand3x3", padding=1)
                features = torch.cat((self._layer(squeezed, f"{name}.expand1x1"), wide), dim=1)
        return features.reshape(*batch, *features.shape[1:]) / self.gain

    def normal_diagonal(self, weight: Tensor | None = None) -> Tensor:
        """The mean weight: by the choice of ``g`` the mean of ``diag(J* J)`` is one.

        How it differs from pixel to pixel would cost as much as many steps of inference.
        """
        one = torch.ones((1, 1, 1), dtype=self.gain.dtype, device=self.gain.device)
        if weight is None:
            return one
        return self.range.expand(weight).mean(dim=(-3, -2, -1), keepdim=True) * one

    def _layer(self, x: Tensor, name: str, stride: int = 1, padding: int = 0) -> Tensor:
        weight = getattr(self, _buffer(f"{name}.weight")).to(x.dtype)
        bias = getattr(self, _buffer(f"{name}.bias")).to(x.dtype)
        return F.relu(F.conv2d(x, weight, bias, stride=stride, padding=padding))


def _parts(name: str) -> tuple[str, ...]:
    """The convolutions of an element of the sequence."""
    if name.startswith("pool"):
        return ()
    if name.startswith("conv"):
        return (name,)
    return tuple(f"{name}.{part}" for part in ("squeeze1x1", "expand1x1", "expand3x3"))


def _buffer(key: str) -> str:
    """A name that a buffer may have."""
    return key.replace(".", "_")
