"""docs/mri-scripts.md shows only calls that exist, with arguments that they take."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "mri-scripts.md"
SHORT = {"E.": "rimaging.operators.", "D.": "rimaging.datasets."}


def calls() -> list[str]:
    """Every piece of Python on the page that names us or sigpy, short names written out."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    lines = [line.partition("=")[2] for block in blocks for line in block.splitlines()]
    pieces = [line.partition("#")[0].strip() for line in lines]
    pieces += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for short, full in SHORT.items():
        pieces = [re.sub(rf"^{re.escape(short)}", full, piece) for piece in pieces]
    return sorted({p for p in pieces if re.match(r"(rimaging|sigpy)\.[a-z]", p)})


def resolve(name: str) -> Any:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            found = getattr(found, attribute)
        return found
    raise AttributeError(name)


@pytest.mark.parametrize("piece", calls())
def test_a_call_on_the_page_exists_and_takes_its_arguments(piece: str) -> None:
    node: ast.expr = ast.parse(piece, mode="eval").body
    # of `f(x).run()` and `f(x).image` it is f that counts
    while isinstance(node, ast.Attribute | ast.Call) and "(" in ast.unparse(node):
        inner = node.func if isinstance(node, ast.Call) else node.value
        if isinstance(node, ast.Call) and "(" not in ast.unparse(inner):
            break
        node = inner
    if not isinstance(node, ast.Call):
        resolve(ast.unparse(node))
        return
    function: Callable[..., Any] = resolve(ast.unparse(node.func))
    named = {word.arg: None for word in node.keywords if word.arg is not None}
    inspect.signature(function).bind(*node.args, **named)


def test_the_page_is_read() -> None:
    assert len(calls()) > 30
