"""Gate of the error map: how often the truth is as near as the map says."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from rimaging.rim.coverage import SHARES
from rimaging.validate.gate import Gate, judged
from rimaging.validate.sources import Catalogue

NAME = "coverage of the error map"
COVERAGE = 0.03
MEDIAN = 0.6745
"""Of the absolute value of a normal number of variance one."""


class Repetition(NamedTuple):
    """The image seen again, with known light in it, and an answer to that.

    image, truth, uncertainty, measured ``(y, x)``: the answer, what it should be, its error map (or
    None), where a pixel was good. catalogue: of the injected sources.
    """

    image: Tensor
    truth: Tensor
    uncertainty: Tensor | None
    measured: Tensor
    catalogue: Catalogue


def error_map(again: Repetition, radius: float) -> Gate:
    """Gate 8: how much of the truth lies within 1 and 1.96 errors of the map.

    Of pixels within ``radius`` of the injected sources, whose light is known, one mean for each
    source; and of all pixels, where the truth is the answer that was repeated.
    """
    asked = f"68 % and 95 %, to within {COVERAGE:.0%} (at sources one standard error granted)"
    if again.uncertainty is None:
        finding = "the method gives no uncertainty by itself: ask for repetitions, 8 for example"
        return Gate(number=8, name=NAME, outcome="not given", finding=finding, asked=asked)
    tiny = torch.finfo(again.uncertainty.dtype).tiny
    ratio = (again.image - again.truth).abs() / again.uncertainty.clamp_min(tiny)
    discs = _discs(again.catalogue, radius, again.measured)
    numbers: dict[str, float] = {}
    said, passed = [], True
    for bound, share in SHARES.items():
        inside = (ratio <= bound).double()
        everywhere = float(inside[again.measured].mean())
        each = (
            torch.stack([inside[disc].mean() for disc in discs]) if discs else inside.new_empty(0)
        )
        at_sources = float(each.mean()) if discs else math.nan
        doubt = float(each.std()) / math.sqrt(len(each)) if len(each) > 1 else 0.0
        numbers |= {f"{bound:g} sigma": everywhere, f"{bound:g} sigma at sources": at_sources}
        passed &= abs(everywhere - share) < COVERAGE and abs(at_sources - share) < COVERAGE + doubt
        said.append(
            f"within {bound:g} sigma {everywhere:.1%} of all pixels and "
            f"{at_sources:.1%} ± {doubt:.1%} of those at sources"
        )
    typical = {
        "all pixels": ratio[again.measured],
        "sources": torch.cat([ratio[disc] for disc in discs]) if discs else ratio[:0],
    }
    for name, values in typical.items():
        numbers[f"error over map, {name}"] = float(values.median()) / MEDIAN
    return Gate(
        number=8,
        name=NAME,
        outcome=judged(passed),
        finding=(
            f"{'; '.join(said)} ({len(discs)} stars and galaxies); errors are "
            f"{numbers['error over map, all pixels']:.2f} times the map, at sources "
            f"{numbers['error over map, sources']:.2f}"
        ),
        asked=asked,
        numbers=numbers,
    )


def _discs(catalogue: Catalogue, radius: float, measured: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Rows and columns of the good pixels around each source."""
    rows, columns = measured.shape
    y, x = torch.arange(rows)[:, None], torch.arange(columns)[None, :]
    found = []
    for column, row in zip(catalogue.x.tolist(), catalogue.y.tolist(), strict=True):
        near = torch.hypot(y - row, x - column) <= max(radius, 1.0)
        where = torch.where(near & measured)
        if len(where[0]):
            found.append((where[0], where[1]))
    return found
