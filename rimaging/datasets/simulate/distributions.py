"""Card parameters that may be distributions: draw them with a generator."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from rimaging.datasets.toml import check_keys
from rimaging.errors import CardError

Parameter: TypeAlias = float | str | Mapping[str, Sequence[Any]]
"""A fixed value, or one of ``{uniform=[a,b]}``, ``{loguniform=[a,b]}``, ``{choice=[...]}``."""


def draw(parameter: Parameter, generator: torch.Generator, count: int) -> Tensor:
    """Draw ``count`` independent numbers from a card parameter, float32 of shape (count,).

    A plain number gives itself. Raises CardError for text or an unknown distribution.
    """
    if isinstance(parameter, int | float):
        return torch.full((count,), float(parameter))
    if not isinstance(parameter, Mapping) or len(parameter) != 1:
        raise CardError(
            f"{parameter!r} is no number and no distribution: write a number, "
            "{uniform=[a,b]}, {loguniform=[a,b]} or {choice=[...]}."
        )
    ((name, values),) = parameter.items()
    if name == "choice":
        index = torch.randint(len(values), (count,), generator=generator)
        return torch.tensor([float(value) for value in values])[index]
    u = torch.rand(count, generator=generator)
    if name == "uniform":
        low, high = map(float, values)
        return low + (high - low) * u
    if name == "loguniform":
        low, high = (math.log(float(value)) for value in values)
        return torch.exp(low + (high - low) * u)
    raise CardError(f"distribution {name!r} is unknown: use uniform, loguniform or choice.")


def draw_one(parameter: Parameter, generator: torch.Generator) -> float:
    """Draw a single number from a card parameter."""
    return float(draw(parameter, generator, 1)[0])


def fixed(parameters: Mapping[str, Parameter], name: str) -> float:
    """A parameter that holds for a whole training; raise CardError where it is no number."""
    value = parameters[name]
    if not isinstance(value, int | float):
        raise CardError(f"'{name}' is {value!r}, expected a number: it is not drawn.")
    return float(value)


def happens(probability: float, generator: torch.Generator) -> bool:
    """Toss a coin that shows heads with this probability."""
    return float(torch.rand(1, generator=generator)) < probability


def integer(low: int, high: int, generator: torch.Generator) -> int:
    """Draw an integer from low to high, both included."""
    return int(torch.randint(low, high + 1, (1,), generator=generator))


def draw_name(parameter: Parameter, generator: torch.Generator) -> str:
    """Draw a word: a plain text gives itself, ``{choice=[...]}`` one of its words."""
    if isinstance(parameter, str):
        return parameter
    if isinstance(parameter, Mapping) and set(parameter) == {"choice"}:
        words = parameter["choice"]
        return str(words[integer(0, len(words) - 1, generator)])
    raise CardError(f"{parameter!r} is no word: write text or {{choice=[...]}}.")


def with_defaults(
    parameters: Mapping[str, Parameter], defaults: Mapping[str, Parameter], sampler: str
) -> dict[str, Parameter]:
    """The parameters of a card over the defaults of a sampler; raise CardError for others."""
    check_keys(parameters, tuple(defaults), sampler)
    return {**defaults, **parameters}
