"""Settings of network and schedule: each of its kind and within its range, or refused by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from rimaging.errors import RimagingError
from rimaging.rim.config import RIMConfig
from rimaging.rim.training_config import TrainingConfig

__all__ = ["MODEL", "TRAINING", "check_ranges"]

MODEL: dict[str, Any] = {field.name: field.default for field in fields(RIMConfig)}
TRAINING: dict[str, Any] = {field.name: field.default for field in fields(TrainingConfig)}
"""The settings, and their defaults, which say of what kind they are."""

LEAST = {
    "steps": 1,
    "channels": 1,
    "fine": 1,
    "coarse": 1,
    "iterations": 1,
    "batch": 1,
    "size": 16,
    "reuse": 1,
    "validate_every": 1,
    "seed": -(2**63),
}
"""Of whole numbers; of all others it is 0."""

WORDS = {"unit": ("minimal", "gru")}

Range = tuple[str, Callable[[Any], bool]]

NUMBERS: dict[str, Range] = {
    "learning_rate": ("between 0 and 1, such as 2e-3", lambda value: 0 < value < 1),
    "ema": ("from 0 to 1, such as 0.999", lambda value: 0 <= value <= 1),
    "clip": ("above 0, such as 1", lambda value: value > 0),
}
"""Ranges of numbers; all others are finite and not below 0."""


def check_ranges(settings: Mapping[str, Any], where: str, error: type[RimagingError]) -> None:
    """Raise ``error`` for the first setting of a wrong kind or out of range.

    Args:
        settings: by name, of `MODEL` and `TRAINING`.
        where: put before the name, "[model] of card 'mine': " for example.
        error: of a card, or of an option.
    """
    for name, value in settings.items():
        expected, fits = _range(name, {**MODEL, **TRAINING}[name])
        if not fits(value):
            raise error(f"{where}{name} is {value!r}, expected {expected}")


def _range(name: str, default: Any) -> Range:
    if isinstance(default, bool):
        return "true or false", lambda value: isinstance(value, bool)
    if isinstance(default, str):
        words = WORDS[name]
        return f"one of {', '.join(words)}", lambda value: value in words
    if isinstance(default, int):
        least = LEAST.get(name, 0)
        # (torch has no larger ones)
        return (
            f"a whole number of at least {least}",
            lambda value: _is(value, int) and least <= value < 2**63,
        )
    said, within = NUMBERS.get(name, ("0 or more", lambda value: 0 <= value < math.inf))
    return said, lambda value: (_is(value, int) or _is(value, float)) and within(value)


def _is(value: Any, kind: type) -> bool:
    """(for Python, true and false are numbers)."""
    return isinstance(value, kind) and not isinstance(value, bool)
