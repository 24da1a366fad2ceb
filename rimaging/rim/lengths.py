"""Step lengths of conjugate gradients that the parts of one image share.

Conjugate gradients take their step lengths from inner products over the whole image. A tile knows
only itself, and two neighbours would step differently: a seam. The lengths of an image are ratios
of sums, which a sample of it gives as well; taken from a sample once and replayed on each tile they
make every direction a fixed local filter, so that a tile equals the whole.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rimaging.errors import OptionError


class StepLengths:
    """Records the lengths of one inference, or replays them in another.

    Args:
        values: ``(iteration, 2, channel)``, step and ratio of each iteration, in the order of one
            inference, as `values` of a recording gives them; None to record.

    A recording takes a likelihood of several parts of one image, ``(part, [channel,] y, x)``, and
    joins the inner products of its parts. Use each object for one inference.
    """

    def __init__(self, values: Tensor | None = None) -> None:
        self.replaying = values is not None
        self._pairs: list[tuple[Tensor, Tensor]] = []
        self._next = 0
        if values is not None:
            self._pairs = [(pair[0][:, None, None], pair[1][:, None, None]) for pair in values]

    @property
    def values(self) -> Tensor:
        """What was recorded, ``(iteration, 2, channel)``."""
        return torch.stack([torch.stack((s.flatten(), r.flatten())) for s, r in self._pairs])

    def record(self, step: Tensor, ratio: Tensor) -> None:
        """Note one iteration."""
        self._pairs.append((step, ratio))

    def replay(self) -> tuple[Tensor, Tensor]:
        """Step and ratio of the next iteration; raises OptionError where none is left."""
        if self._next == len(self._pairs):
            raise OptionError(
                f"{len(self._pairs)} step lengths were recorded and more are asked for: record and "
                "replay with the same weights and steps"
            )
        self._next += 1
        return self._pairs[self._next - 1]
