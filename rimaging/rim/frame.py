"""The local frame of reference in which a network sees images of any brightness alike."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

FRAME_RADIUS = 16
"""How far a pixel reaches in the frame of the network: two local means of twice radius 4."""


class Frame(NamedTuple):
    """The local frame of reference in which the network sees an image, all in units of the noise.

    Attributes:
        mean: local mean of the initial estimate, ``(batch, planes, y, x)``.
        contrast: ``sqrt(1 + local variance)``, ``(batch, 1, y, x)``.
        information: root of the information, ``(batch, channels, y, x)``.
    """

    mean: Tensor
    contrast: Tensor
    information: Tensor


def local_mean(planes: Tensor) -> Tensor:
    """Mean over a soft window of 17 pixels: twice a box of 9, edges replicated."""
    for _ in range(2):
        planes = F.pad(planes, (4, 4, 4, 4), mode="replicate")
        for axis in (-1, -2):
            # 1, 2, 4, 8 and 9 pixels: four sums in place of nine, each pixel in the same order
            size = planes.shape[axis] - 8
            box = planes
            for reach in (1, 2, 4):
                width = box.shape[axis] - reach
                box = box.narrow(axis, 0, width) + box.narrow(axis, reach, width)
            planes = box.narrow(axis, 0, size) + planes.narrow(axis, 8, size)
        planes = planes / 81
    return planes
