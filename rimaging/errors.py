"""The errors that rimaging raises: one class for each kind of repair.

Every message is one line: what came, what was expected, how to repair it.
"""

from __future__ import annotations

__all__ = [
    "CardError",
    "DataError",
    "FormatError",
    "OptionError",
    "RimagingError",
    "ShapeError",
    "WeightsError",
]


class RimagingError(Exception):
    """Anything that rimaging refuses; catch this one to catch them all."""


class ShapeError(RimagingError):
    """An array has another shape than its operator, mask, maps or kernel ask for."""


class DataError(RimagingError):
    """The values of an array cannot be used: NaN, a wrong dtype, noise <= 0, nothing measured."""


class FormatError(RimagingError):
    """A file cannot be read or written: a missing group, an unknown suffix, a damaged file."""


class WeightsError(RimagingError):
    """Weights are absent, damaged, or made for another network or instrument."""


class CardError(RimagingError):
    """A TOML card is absent, or one of its parameters is missing, unknown or out of range."""


class OptionError(RimagingError):
    """A method or option that does not exist; the message names those that do."""
