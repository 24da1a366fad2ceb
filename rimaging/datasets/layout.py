"""Where arrays keep the colour of a picture: in front, as inside the house, or last, as outside."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from torch import Tensor

from rimaging.errors import ShapeError

__all__ = ["Layout"]


class Layout(Enum):
    """How the axes of an array of pictures lie.

    PLANES: ``(..., y, x)``, gray, or with their colour in front. COLOUR: ``(..., y, x, 3)``. GRAY:
    ``(..., y, x, 1)``.
    """

    PLANES = "planes"
    COLOUR = "colour last"
    GRAY = "one channel last"

    @classmethod
    def of(cls, shape: Sequence[int]) -> Layout:
        """By the shape alone, whatever the dtype, so that a file is read as the array it holds.

        Raises ShapeError for a last axis of 2 or 4: transparency, or no picture.
        """
        if len(shape) < 3:
            return cls.PLANES
        if shape[-1] in (2, 4):
            raise ShapeError(
                f"the image has shape {tuple(shape)}: give colour as (y, x, 3), without "
                "transparency (image[..., :3])"
            )
        return {1: cls.GRAY, 3: cls.COLOUR}.get(shape[-1], cls.PLANES)

    def planes(self, array: Tensor) -> Tensor:
        """``(..., [3,] y, x)`` of an array laid out so."""
        if self is Layout.COLOUR:
            return array.movedim(-1, -3)
        return array.squeeze(-1) if self is Layout.GRAY else array

    def laid_out(self, planes: Tensor) -> Tensor:
        """The inverse of `planes`."""
        if self is Layout.COLOUR:
            return planes.movedim(-3, -1)
        return planes.unsqueeze(-1) if self is Layout.GRAY else planes
