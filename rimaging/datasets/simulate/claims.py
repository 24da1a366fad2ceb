"""What an operator card claims is what its sampler draws; a card that claims else is refused."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from rimaging.datasets.operator_card import OperatorCard
from rimaging.datasets.simulate import SAMPLERS
from rimaging.datasets.simulate.distributions import Parameter
from rimaging.errors import CardError

__all__ = ["channels", "check_claims", "operators"]

OPERATORS = {
    "photographs": "identity",
    "microscopy": "identity",
    "features": "squeezenet",
    "kspace": "cartesian",
    "sky": "convolution",
}
"""What each sampler draws; that of pictures has several, by the shares of its card."""


def operators(card: OperatorCard) -> list[str]:
    """The names of the operators that the sampler of a card draws."""
    if card.sampler == "pictures":
        from rimaging.datasets.simulate.pictures import shares

        return [name for name, share in shares(card.parameters).items() if share > 0]
    return [OPERATORS[str(card.sampler)]]


def channels(card: OperatorCard) -> int:
    """How many channels the images have that the sampler of a card draws."""
    return 3 if card.sampler == "features" or card.parameters.get("colour") else 1


def check_claims(card: OperatorCard) -> None:
    """Compare a card with its sampler, before any data are read.

    Raises CardError for a sampler that does not exist, parameters that it does not have or that are
    words in place of numbers, an operator that it does not draw, and a table of noise.
    """
    if card.sampler not in SAMPLERS:
        raise CardError(
            f"card '{card.name}' has sampler {card.sampler!r}, expected one of "
            f"{', '.join(SAMPLERS)}: add it, or train in Python (docs/operators.md)"
        )
    module = import_module(f"rimaging.datasets.simulate.{card.sampler}")
    defaults: Mapping[str, Parameter] = module.DEFAULTS
    card.check_parameters(tuple(defaults))
    for name, value in card.parameters.items():
        wanted = _kind(defaults[name])
        if _kind(value) != wanted:
            raise CardError(
                f"'{name}' in [parameters] of card '{card.name}' is {value!r}, expected {wanted} "
                f"such as {defaults[name]!r}"
            )
    drawn = operators(card)
    expected = drawn[0] if len(drawn) == 1 else "any"
    if card.operator != expected:
        raise CardError(
            f"card '{card.name}' has operator {card.operator!r}, but its sampler "
            f"'{card.sampler}' draws {', '.join(drawn)}: write operator = \"{expected}\"; an "
            "operator of your own is trained in Python (docs/operators.md)"
        )
    if card.noise:
        raise CardError(
            f"card '{card.name}' has a table [noise], but its sampler '{card.sampler}' draws noise "
            "of its own, by its parameters: take the table out"
        )


def _kind(parameter: Any) -> str:
    """What a parameter is drawn as: "numbers", "words", or neither."""
    values = next(iter(parameter.values())) if isinstance(parameter, Mapping) else [parameter]
    if all(isinstance(value, int | float) for value in values):
        return "numbers"
    return "words" if all(isinstance(value, str) for value in values) else "neither"
