"""Pairs of a data card: which of its files are a noisy and a clean image of the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rimaging.datasets.toml import check_keys, require
from rimaging.errors import CardError

__all__ = ["Pairs", "find_pairs"]


@dataclass(frozen=True)
class Pairs:
    """The table [pairs]: two paths with one ``*`` each, which is the same text in both."""

    noisy: str
    clean: str

    def partner(self, path: str) -> tuple[str, str] | None:
        """The name of the pair and its clean path, given the noisy one; None for other paths."""
        begin, end = self.noisy.split("*")
        if not (path.startswith(begin) and path.endswith(end)) or len(path) < len(begin + end):
            return None
        name = path[len(begin) : len(path) - len(end)]
        return name, self.clean.replace("*", name)


def find_pairs(table: Mapping[str, Any], files: Iterable[str], card: str) -> Pairs:
    """Make the pairs of a card from its table [pairs], and see that its files hold them.

    Raises CardError for unknown and missing keys, paths without a lone ``*``, and noisy files that
    are absent or without a clean one.
    """
    where = f"[pairs] of card '{card}'"
    check_keys(table, ("noisy", "clean"), where)
    require(table, ("noisy", "clean"), card)
    for key, pattern in table.items():
        if not isinstance(pattern, str) or pattern.count("*") != 1:
            raise CardError(
                f"'{key}' in {where} is {pattern!r}, expected a path with one *, which stands for "
                "the same text in both."
            )
    pairs = Pairs(table["noisy"], table["clean"])
    listed = set(files)
    partners = {path: pairs.partner(path) for path in sorted(listed)}
    if not any(partners.values()):
        raise CardError(f"'noisy' in {where} matches no file: {pairs.noisy}.")
    for path, partner in partners.items():
        if partner is not None and partner[1] not in listed:
            raise CardError(
                f"card '{card}' has {path} and lacks {partner[1]}, its clean image: add it to "
                "[files], or take the noisy one out."
            )
    return pairs
