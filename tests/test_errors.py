"""Whoever catches RimagingError catches everything that we refuse."""

from __future__ import annotations

import ast
from pathlib import Path

from rimaging import errors

PACKAGE = Path(errors.__file__).parent
OURS = set(errors.__all__)
# Python's own protocol asks for these: attribute access, abstract methods, the exit status.
PROTOCOL = {"AttributeError", "NotImplementedError", "SystemExit", "Exit"}


def test_every_error_is_listed_and_descends_from_one() -> None:
    classes = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert classes == OURS
    assert all(issubclass(getattr(errors, name), errors.RimagingError) for name in OURS)


def test_the_package_raises_only_its_own_errors() -> None:
    foreign = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                name = ast.unparse(node.exc.func).rpartition(".")[2]
                if name[:1].isupper() and name not in OURS | PROTOCOL:
                    foreign.append(f"{path.relative_to(PACKAGE.parent)}:{node.lineno} {name}")
    assert not foreign, "raise a class of rimaging/errors.py:\n  " + "\n  ".join(foreign)
