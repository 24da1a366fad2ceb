"""Photographs seen by the features of a classifier: what deep visualisation has to invert."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.data_card import Split
from rimaging.datasets.npz import load_arrays
from rimaging.datasets.simulate.distributions import Parameter, draw, draw_name, with_defaults
from rimaging.datasets.simulate.photographs import Photographs
from rimaging.operators.gaussian import Gaussian
from rimaging.operators.squeezenet import MEAN, SqueezeNet

__all__ = ["Features", "centred", "squeezenet_weights"]

DEFAULTS: dict[str, Parameter] = {
    "layer": {"choice": ["conv1", "fire3", "fire5", "fire7", "fire9"]},
    "sigma": {"loguniform": [1, 10]},
}


class Features:
    """Draw y = phi_l(x) + n of colour photographs x, one layer l for a batch.

    ``x`` is RGB with white at 1 less the mean colour of the network, ``phi`` is scaled to order one
    (`SqueezeNet`), and ``sigma`` is in 8-bit counts of the picture.
    Parameters, all optional: `DEFAULTS`. Raises CardError for others.
    """

    def __init__(
        self, parameters: Mapping[str, Parameter], root: Path, split: Split = "train"
    ) -> None:
        """Read the photographs of a split and the network below ``root``."""
        self.parameters = with_defaults(parameters, DEFAULTS, "the sampler of features")
        self.weights = squeezenet_weights(Path(root))
        self.photographs = Photographs({"colour": 1.0}, root, split)
        self.operators: dict[tuple[str, int], SqueezeNet] = {}
        self.draws = 6

    def __call__(
        self, generator: torch.Generator, batch: int, size: int
    ) -> tuple[Gaussian, Tensor]:
        """Draw a batch: the likelihood of the features and the truth (batch, 3, size, size)."""
        layer = draw_name(self.parameters["layer"], generator)
        operator = self._operator(layer, size)
        truth = centred(self.photographs.patches(generator, batch, size))
        with torch.no_grad():
            clean = operator(truth)
        sigma = draw(self.parameters["sigma"], generator, batch)[:, None, None, None] / 255
        y = clean + sigma * torch.randn(clean.shape, generator=generator)
        return Gaussian(operator, y, sigma), truth

    def _operator(self, layer: str, size: int) -> SqueezeNet:
        if (layer, size) not in self.operators:
            self.operators[layer, size] = SqueezeNet(self.weights, layer, (size, size))
        return self.operators[layer, size]


def squeezenet_weights(root: Path) -> dict[str, Tensor]:
    """SqueezeNet 1.1 as it lies in ``features/``; FormatError where it is absent."""
    arrays = load_arrays(root / "features" / "squeezenet11_fp16.npz")
    return {name: to_tensor(array.astype("float32"), name) for name, array in arrays.items()}


def centred(picture: Tensor) -> Tensor:
    """RGB ``(..., 3, y, x)`` with white at 1, less the mean colour of the network."""
    return picture - torch.tensor(MEAN, dtype=picture.dtype)[:, None, None] / 255
