"""The error of an estimate, as a small network learned to see it from how estimates turned out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rimaging.rim.blocks import in_blocks
from rimaging.rim.cell import residual_blocks

DILATIONS = (1, 2, 4)
"""Holes of the residual blocks, one each."""


class ErrorHead(nn.Module):
    """``log e = h(planes)`` for each pixel, ``e`` in units of the noise.

    What it reads (`rimaging.rim.rim.RIM.error`) stands in the frame of the estimate, local and in
    units of the noise, so that its answer scales with the data and a tile with its halo equals the
    whole.

    Args:
        inputs: planes that it reads.
        outputs: errors that it tells of each pixel.
        features: of its layers.
    """

    def __init__(self, inputs: int, outputs: int, features: int) -> None:
        super().__init__()
        self.read = nn.Conv2d(inputs, features, 3)
        self.blocks = residual_blocks(features, DILATIONS)
        self.write = nn.Conv2d(features, outputs, 1)

    @property
    def reach(self) -> int:
        """Pixels beyond which it does not see."""
        return 1 + 2 * sum(DILATIONS)

    def forward(self, planes: Tensor) -> Tensor:
        """Logarithms of errors ``(batch, outputs, y, x)`` from planes ``(batch, inputs, y, x)``."""
        sizes = {"reach": self.reach, "stride": 1, "features": self.read.out_channels}
        told, _ = in_blocks(lambda some, _: (self._told(some), ()), planes, (), **sizes)
        return told

    def _told(self, planes: Tensor) -> Tensor:
        planes = F.pad(planes, (1, 1, 1, 1), mode="replicate")
        planes = planes.contiguous(memory_format=torch.channels_last)
        told: Tensor = self.write(self.blocks(F.relu(self.read(planes))))
        return told
