"""TOML tables of cards: loaded, and checked so that a mistake names its repair."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from rimaging.catalogue import card_folder
from rimaging.errors import CardError

__all__ = ["check_keys", "load_toml", "require", "unknown"]


def load_toml(card: str | Path, kind: str) -> tuple[Path, dict[str, Any]]:
    """Load a card by path, or by name from the catalogue of its kind."""
    path = Path(card)
    if not path.is_file():
        folder = card_folder(kind)
        path = folder / f"{path.stem if path.suffix == '.toml' else card}.toml"
        if not path.is_file():
            names = tuple(sorted(p.stem for p in folder.glob("*.toml")))
            unknown(str(card), names, f"the catalogue {kind}/")
    try:
        with path.open("rb") as file:
            return path, tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CardError(f"card '{path.name}' is no TOML ({error}): repair that line.") from error


def check_keys(table: Mapping[str, Any], allowed: tuple[str, ...], where: str) -> None:
    """Raise CardError for a key that is not among those allowed."""
    for key in table:
        if key not in allowed:
            unknown(key, allowed, where)


def unknown(key: Any, allowed: tuple[str, ...], where: str) -> NoReturn:
    """Raise CardError that names the nearest of what is allowed."""
    if not allowed:
        raise CardError(f"{where} does not know '{key}': it takes none, leave it out.")
    nearest = difflib.get_close_matches(str(key), allowed, n=1, cutoff=0.5)
    repair = f"did you mean '{nearest[0]}'?" if nearest else f"use one of {', '.join(allowed)}."
    raise CardError(f"{where} does not know '{key}': {repair}")


def require(table: Mapping[str, Any], keys: tuple[str, ...], name: str) -> None:
    """Raise CardError for the keys that are missing."""
    missing = [key for key in keys if key not in table]
    if missing:
        raise CardError(f"card '{name}' lacks {', '.join(missing)}: add them.")
