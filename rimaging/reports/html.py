"""One self-contained HTML page that shows a reconstruction to a colleague.

No script, style, font or image comes from elsewhere, and the page's own policy forbids it. All
text is escaped: a header value may hold HTML. Absolute paths are cut to the file's name, and
entries about a person are left out.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rimaging.errors import DataError, ShapeError
from rimaging.reports.diagnostics import Diagnostics, Verdict
from rimaging.reports.files import write_whole
from rimaging.reports.privacy import public_entries, public_text
from rimaging.reports.scales import Kind, Scale, plane, scale_of

MAX_SIDE = 1024
"""Longest side of an embedded picture, in pixels."""
MAX_BYTES = 5_000_000
"""Largest report; pictures are made smaller until it fits."""
CITATION = (
    "Images were reconstructed with rimaging {version}, a Recurrent Inference Machine "
    "(P. Putzky and M. Welling, Recurrent Inference Machines for Solving Inverse Problems, "
    "arXiv:1706.04008, 2017)."
)
_SIDES = (1024, 768, 512, 384, 256)
_PIXELATED = 320  # below this the browser enlarges the pixels as squares: nothing is invented


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image with a title; ``image`` is an array shown as its ``kind``, or a PNG file's bytes."""

    title: str
    image: NDArray[Any] | Tensor | bytes
    kind: Kind = "image"
    caption: str = ""
    scale: Scale | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two images of one field under a slider, on one gray scale: that of ``after``."""

    before: NDArray[Any] | Tensor
    after: NDArray[Any] | Tensor
    kind: Kind
    labels: tuple[str, str] = ("before", "after")
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A row of the table of methods; None where a number was not taken."""

    name: str
    psnr: float | None = None
    ssim: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A part of a report with a heading of its own; the fields are as those of `report`."""

    title: str
    summary: str = ""
    comparison: Comparison | None = None
    facts: Mapping[str, object] | None = None
    methods: Sequence[Method] = ()
    diagnostics: Diagnostics | None = None
    gates: Sequence[Verdict] = ()
    pictures: Sequence[Picture] = ()


def report(
    title: str,
    *,
    summary: str = "",
    comparison: Comparison | None = None,
    facts: Mapping[str, object] | None = None,
    methods: Sequence[Method] = (),
    diagnostics: Diagnostics | None = None,
    gates: Sequence[Verdict] = (),
    pictures: Sequence[Picture] = (),
    chapters: Sequence[Chapter] = (),
    provenance: Mapping[str, Any] | None = None,
    citation: str | None = None,
) -> str:
    """The report as one HTML document of at most 5 MB.

    Args:
        title: the heading.
        summary: a sentence or two below it.
        comparison: the slider, with the image before and after.
        facts: a few numbers worth reading first, such as the acceleration, by name.
        methods: the table of methods; the best of each column is marked.
        diagnostics: of the residual; told in words.
        gates: what a validation found, one sentence each.
        pictures: shown one below the other if they are PNG bytes (plots), else in a grid.
        chapters: further parts, each with comparison, table and pictures of its own.
        provenance: whatever led to the image; nested mappings are flattened.
        citation: text to cite; by default rimaging and the RIM paper.

    Raises:
        ShapeError: images of a comparison that differ in shape.
        DataError: still more than 5 MB with the smallest previews: there are too many pictures.
    """
    import jinja2

    from rimaging import __version__

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["sha256"] = _sha256
    known, left_out = public_entries(provenance or {})
    text = {
        "title": public_text(title),
        "summary": public_text(summary),
        "numbers": _numbers(diagnostics) if diagnostics else [],
        "provenance": known,
        "left_out": left_out,
        "citation": public_text(citation or CITATION.format(version=__version__)),
        "version": __version__,
    }
    main = Chapter(
        title=title,
        comparison=comparison,
        facts=facts,
        methods=methods,
        diagnostics=diagnostics,
        gates=gates,
        pictures=pictures,
    )
    template = environment.get_template("template.html")
    for side in _SIDES:
        page = template.render(
            **text, main=_part(main, side), chapters=[_part(part, side) for part in chapters]
        )
        if len(page.encode()) <= MAX_BYTES:
            return page
    count = sum(len(part.pictures) for part in (main, *chapters))
    raise DataError(
        f"the report has {len(page.encode()) / 1e6:.1f} MB with previews of {side} pixels; "
        f"expected at most {MAX_BYTES / 1e6:.0f} MB: show fewer than {count} pictures"
    )


def save_report(path: str | Path, page: str) -> Path:
    """Write a page whole or not at all; raises FormatError as `write_whole`."""
    return write_whole(path, page.encode())


def preview(
    image: NDArray[Any] | Tensor | bytes, kind: Kind, scale: Scale | None, side: int
) -> bytes:
    """A PNG of at most ``side`` x ``side`` pixels, shrunk by area averages and never enlarged."""
    from PIL import Image

    if isinstance(image, bytes):
        picture: Image.Image = Image.open(io.BytesIO(image))
    else:
        gray = (scale or scale_of(image, kind))(plane(image, kind))
        picture = Image.fromarray(np.round(gray * 255).astype(np.uint8))
    if max(picture.size) > side:
        ratio = side / max(picture.size)
        width, height = (max(1, round(length * ratio)) for length in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BOX)
    file = io.BytesIO()
    picture.save(file, format="PNG")
    return file.getvalue()


def _part(part: Chapter, side: int) -> dict[str, Any]:
    """A chapter as the template wants it, its pictures no larger than ``side``."""
    columns, rows = _table(part.methods)
    return {
        "title": public_text(part.title),
        "summary": public_text(part.summary),
        "comparison": _compared(part.comparison, side) if part.comparison else None,
        "facts": [(public_text(k), public_text(v)) for k, v in (part.facts or {}).items()],
        "columns": columns,
        "rows": rows,
        "verdicts": part.diagnostics.verdicts() if part.diagnostics else [],
        "gates": [Verdict(v.level, public_text(v.text)) for v in part.gates],
        "plots": [_shown(p, side) for p in part.pictures if isinstance(p.image, bytes)],
        "images": [_shown(p, side) for p in part.pictures if not isinstance(p.image, bytes)],
    }


def _table(methods: Sequence[Method]) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns that hold a number, and rows of cells ``(text, is best)``.

    The highest PSNR and SSIM and the least time are the best.
    """
    columns: tuple[tuple[str, list[float | None], Callable[[float], str], Any], ...] = (
        ("PSNR, dB", [method.psnr for method in methods], "{:.2f}".format, max),
        ("SSIM", [method.ssim for method in methods], "{:.4f}".format, max),
        ("Time, s", [method.seconds for method in methods], _time, min),
    )
    columns = tuple(column for column in columns if any(v is not None for v in column[1]))
    rows: list[dict[str, Any]] = [{"name": public_text(m.name), "cells": []} for m in methods]
    for _, values, form, choose in columns:
        taken = [value for value in values if value is not None and np.isfinite(value)]
        # Equal after rounding is equally good; one method alone is not "best".
        best = form(choose(taken)) if len(taken) > 1 else None
        for row, value in zip(rows, values, strict=True):
            text = "–" if value is None else form(value)
            row["cells"].append((text, text == best))
    return [column[0] for column in columns], rows


def _time(seconds: float) -> str:
    return f"{seconds:.2g}" if seconds < 10 else f"{seconds:,.0f}"


def _numbers(diagnostics: Diagnostics) -> list[tuple[str, str]]:
    lags = enumerate(diagnostics.correlation, 1)
    return [
        ("chi² per value", f"{diagnostics.chi2:.3f}"),
        *((f"correlation at {lag} px", f"{value:+.3f}") for lag, value in lags),
        ("spectral flatness", f"{diagnostics.flatness:.3f}"),
        ("values", f"{diagnostics.samples:,}"),
    ]


def _compared(comparison: Comparison, side: int) -> dict[str, Any]:
    before, after = (plane(x, comparison.kind) for x in (comparison.before, comparison.after))
    if before.shape[0] * after.shape[1] != before.shape[1] * after.shape[0]:
        raise ShapeError(
            f"the slider got {before.shape} and {after.shape}; expected one field: crop them alike"
        )
    scale = scale_of(comparison.after, comparison.kind)
    images = zip(comparison.labels, (comparison.before, comparison.after), strict=True)
    pair = [
        {"label": public_text(label), "uri": _uri(preview(image, comparison.kind, scale, side))}
        for label, image in images
    ]
    small = max(after.shape[:2]) < _PIXELATED
    return {"pair": pair, "caption": public_text(comparison.caption), "pixelated": small}


def _shown(picture: Picture, side: int) -> dict[str, Any]:
    array = None if isinstance(picture.image, bytes) else plane(picture.image, picture.kind)
    return {
        "title": public_text(picture.title),
        "caption": public_text(picture.caption),
        "uri": _uri(preview(picture.image, picture.kind, picture.scale, side)),
        "pixelated": array is not None and max(array.shape[:2]) < _PIXELATED,
    }


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
