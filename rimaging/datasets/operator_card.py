"""Operator cards: instruments declared in TOML, without code.

A card names an operator, its parameters or their distributions, the noise, and the network and the
schedule that suit it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rimaging.datasets.toml import check_keys, load_toml, require, unknown
from rimaging.errors import CardError

__all__ = ["OperatorCard", "load_operator_card"]

DISTRIBUTIONS = ("uniform", "loguniform", "choice")


@dataclass(frozen=True)
class OperatorCard:
    """An instrument: an operator, its parameters and its noise.

    A parameter is a number, a text, a list, or a distribution to draw it from: {uniform=[a,b]},
    {loguniform=[a,b]}, {choice=[...]}. ``sampler`` names the simulation that trains with it,
    ``model`` and ``training`` the network and the schedule that suit it.
    """

    name: str
    operator: str
    title: str = ""
    sampler: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    noise: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def check_parameters(self, allowed: tuple[str, ...]) -> None:
        """Raise CardError for a parameter that is not among those allowed, naming the nearest."""
        check_keys(self.parameters, allowed, f"[parameters] of card '{self.name}'")

    def check_settings(self, model: tuple[str, ...], training: tuple[str, ...]) -> None:
        """Raise CardError for a setting of network or schedule that is not among those allowed."""
        check_keys(self.model, model, f"[model] of card '{self.name}'")
        check_keys(self.training, training, f"[training] of card '{self.name}'")


def load_operator_card(card: str | Path) -> OperatorCard:
    """Load an operator card by path, or by name from the catalogue `operators`.

    Raises CardError for missing cards, unknown keys (naming the nearest valid one) and
    distributions that cannot be drawn from.
    """
    path, table = load_toml(card, "operators")
    tables = ("parameters", "noise", "model", "training", "provenance")
    allowed = ("name", "title", "operator", "sampler", *tables)
    check_keys(table, allowed, f"card '{path.stem}'")
    require(table, ("operator",), path.stem)
    for key in ("name", "title", "operator", "sampler"):
        if not isinstance(table.get(key, ""), str):
            raise CardError(f"'{key}' of card '{path.stem}' is {table[key]!r}, expected a text.")
    for key in tables:
        if not isinstance(table.get(key, {}), dict):
            raise CardError(f"'{key}' of card '{path.stem}' is no table: write [{key}].")
    for group in ("parameters", "noise"):
        for name, value in table.get(group, {}).items():
            _check_parameter(value, f"'{name}' of card '{path.stem}'")
    return OperatorCard(
        name=table.get("name", path.stem),
        operator=table["operator"],
        title=table.get("title", ""),
        sampler=table.get("sampler"),
        **{key: table.get(key, {}) for key in tables},
    )


def _check_parameter(value: Any, where: str) -> None:
    if not isinstance(value, dict):
        return
    if len(value) != 1:
        raise CardError(f"{where} names {len(value)} distributions, expected one.")
    ((name, numbers),) = value.items()
    if name not in DISTRIBUTIONS:
        unknown(name, DISTRIBUTIONS, where)
    if not isinstance(numbers, list) or not numbers:
        raise CardError(f"{where}: {name} takes a list, got {numbers!r}.")
    if name == "choice":
        return
    if len(numbers) != 2 or not all(isinstance(n, int | float) for n in numbers):
        raise CardError(f"{where}: {name} takes [low, high], got {numbers!r}.")
    low, high = numbers
    if low > high or (name == "loguniform" and low <= 0):
        raise CardError(
            f"{where}: {name} needs {'0 < ' * (name != 'uniform')}low <= high, got {numbers}."
        )
