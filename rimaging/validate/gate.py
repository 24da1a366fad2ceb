"""A gate: a question that an astronomer asks of an image, with the answer in numbers and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["pass", "fail", "not given"]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What a gate found.

    number and name: as the table lists them. outcome: "not given" where there was nothing to
    judge. finding: in words, one line. asked: the threshold. numbers: what was measured.
    """

    number: int
    name: str
    outcome: Outcome
    finding: str
    asked: str
    numbers: dict[str, float] = field(default_factory=dict)


def judged(passed: bool) -> Outcome:
    """Pass or fail; a number that is NaN compares as False, hence fails."""
    return "pass" if passed else "fail"


def table(gates: Sequence[Gate]) -> str:
    """The gates for the terminal, one line each and the finding below it."""
    width = max(len(gate.name) for gate in gates)
    lines = []
    for gate in gates:
        lines.append(f"{gate.number:>2}  {gate.name:<{width}}  {gate.outcome.upper():<9}")
        lines.append(f"    {gate.finding}")
        lines.append(f"    asked: {gate.asked}")
    return "\n".join(lines)
