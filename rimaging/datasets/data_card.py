"""Data cards: data sets declared in TOML, without code.

A card names files, their sha256, how to read them, how they are split and what leaks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from rimaging.datasets.arrays import to_tensor
from rimaging.datasets.guard import identity
from rimaging.datasets.measurement import Measurement
from rimaging.datasets.pairs import Pairs, find_pairs
from rimaging.datasets.toml import check_keys, load_toml, require, unknown
from rimaging.errors import CardError, DataError, FormatError

__all__ = [
    "DataCard",
    "Item",
    "Leak",
    "data_root",
    "load_data_card",
]

Split = Literal["train", "validation", "test"]
SPLITS = ("train", "validation", "test")
READERS = ("measurement", "stamps", "kernels", "none")


def data_root() -> Path:
    """Find the folder of real data: $RIMAGING_DATA, or shared/data beside the checkout.

    Raises FormatError where neither is a folder.
    """
    checkout = Path(__file__).resolve().parents[2]
    given = os.environ.get("RIMAGING_DATA")  # an empty one is none: Path("") would be here
    root = Path(given or checkout.parent / "shared" / "data").expanduser()
    if not root.is_dir():
        raise FormatError(
            "no folder of data was found: set RIMAGING_DATA to the one that holds it."
        )
    return root


@dataclass(frozen=True)
class Item:
    """A file of a split, or the entries ``start`` to ``stop`` of what it holds."""

    path: str
    sha256: str
    start: int | None = None
    stop: int | None = None


@dataclass(frozen=True)
class Leak:
    """Files of which others hold a copy: leave ``files`` out where ``against`` is the test."""

    files: tuple[str, ...]
    against: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class DataCard:
    """A set of data: where it comes from, under which terms, and how to use it honestly.

    files: sha256 by path below the root of the data. splits: patterns over these paths, with an
    optional range of entries, "mri/magnitude/chest100.npz[0:80]". reader: "measurement" (whatever
    `open` reads), "stamps" (every image of a FITS file), "kernels" (every array of a
    .npz) or "none". pairs: which of them are noisy and clean images of the same.
    """

    name: str
    title: str
    source: str
    licence: str
    reader: str
    files: Mapping[str, str]
    splits: Mapping[str, tuple[str, ...]]
    leaks: tuple[Leak, ...] = ()
    notes: tuple[str, ...] = ()
    pairs: Pairs | None = None

    def items(self, split: Split, *, leaking: bool = False) -> list[Item]:
        """List the files of a split, sorted; leaking training files only on request.

        Raises CardError for a split that the card lacks.
        """
        if split not in self.splits:
            has = ", ".join(self.splits)
            raise CardError(f"card '{self.name}' has no split '{split}', it has {has}.")
        left_out = set() if leaking else {path for leak in self.leaks for path in leak.files}
        found = {}
        for pattern in self.splits[split]:
            bare, start, stop = _entries(pattern)
            for path, sha256 in self.files.items():
                if fnmatchcase(path, bare) and (split == "test" or path not in left_out):
                    found[path, start] = Item(path, sha256, start, stop)
        return [found[key] for key in sorted(found, key=lambda key: (key[0], key[1] or 0))]

    def paired(self, split: Split) -> list[tuple[str, Item, Item]]:
        """List the pairs of a split: name, noisy, clean; entries of the noisy file hold for both.

        A pair is of the split of its noisy file; of training it is left out where either leaks.
        Raises CardError for a card that says not which files are pairs.
        """
        if self.pairs is None:
            raise CardError(
                f"card '{self.name}' says not which files are pairs: add a table [pairs] with "
                'noisy = "own/noisy/*.tif" and clean = "own/clean/*.tif".'
            )
        leaking = {path for leak in self.leaks for path in leak.files}
        found = []
        for item in self.items(split):
            partner = self.pairs.partner(item.path)
            if partner is not None and (split == "test" or partner[1] not in leaking):
                name, path = partner
                clean = replace(item, path=path, sha256=self.files[path])
                found.append((name, item, clean))
        return found

    def verify(self, root: Path | None = None, *, split: Split | None = None) -> None:
        """Compare the files with their sha256.

        Raises DataError that counts and names the missing and the changed ones.
        """
        root = data_root() if root is None else root
        wanted = self.files if split is None else {i.path: i.sha256 for i in self.items(split)}
        missing = [path for path in wanted if not (root / path).is_file()]
        changed = [
            path
            for path, sha256 in wanted.items()
            if path not in missing and identity(root / path) != sha256
        ]
        if missing or changed:
            first = (missing + changed)[0]
            raise DataError(
                f"of {len(wanted)} files of '{self.name}' {len(missing)} are missing and "
                f"{len(changed)} changed (first: {first}): fetch them from {self.source}."
            )

    def measurements(
        self, split: Split, root: Path | None = None, *, leaking: bool = False
    ) -> Iterator[Measurement]:
        """Read the files of a split one by one; entries are taken along the leading axis.

        Raises CardError where the card's files are no measurements.
        """
        root = data_root() if root is None else root
        for item in self.items(split, leaking=leaking):
            yield self.measurement(item, root)

    def measurement(self, item: Item, root: Path) -> Measurement:
        """Read one file, or its entries; CardError where the card's files are no measurements."""
        from rimaging.datasets.open import open

        if self.reader != "measurement":
            raise CardError(
                f"card '{self.name}' holds {self.reader}, no measurements: use tensors()."
            )
        measurement = open(root / item.path)
        return measurement if item.stop is None else _part(measurement, item)

    def tensors(
        self, split: Split, root: Path | None = None, *, leaking: bool = False
    ) -> list[Tensor]:
        """Read the data alone: one tensor per image file, stamp or kernel.

        Raises CardError where nothing reads the card's files.
        """
        from rimaging.datasets.fits import read_psfs
        from rimaging.datasets.npz import load_arrays

        if self.reader == "measurement":
            return [m.data for m in self.measurements(split, root, leaking=leaking)]
        if self.reader == "none":
            raise CardError(f"nothing reads the files of card '{self.name}' yet: {self.title}.")
        root = data_root() if root is None else root
        found = []
        for item in self.items(split, leaking=leaking):
            if self.reader == "stamps":
                tensors = read_psfs(root / item.path)
            else:
                arrays = load_arrays(root / item.path)
                stacks = (to_tensor(array, name) for name, array in arrays.items())
                tensors = [k for s in stacks for k in s.reshape(-1, *s.shape[-2:])]
            found += tensors[item.start : item.stop]
        return found


def load_data_card(card: str | Path) -> DataCard:
    """Load a data card by path, or by name from the catalogue `datasets`.

    Raises CardError for missing cards, unknown keys and splits that name no file.
    """
    path, table = load_toml(card, "datasets")
    allowed = ("title", "source", "licence", "reader", "split", "leaks", "notes", "pairs", "files")
    check_keys(table, allowed, f"card '{path.stem}'")
    require(table, ("title", "source", "licence", "reader", "split", "files"), path.stem)
    _check_kinds(table, path.stem)
    if table["reader"] not in READERS:
        unknown(table["reader"], READERS, f"reader of card '{path.stem}'")
    check_keys(table["split"], SPLITS, f"[split] of card '{path.stem}'")
    leaks = []
    for leak in table.get("leaks", []):
        check_keys(leak, ("files", "against", "reason"), f"[[leaks]] of card '{path.stem}'")
        require(leak, ("files", "reason"), path.stem)
        leaks.append(Leak(tuple(leak["files"]), tuple(leak.get("against", [])), leak["reason"]))
    result = DataCard(
        name=path.stem,
        title=table["title"],
        source=table["source"],
        licence=table["licence"],
        reader=table["reader"],
        files=table["files"],
        splits={name: tuple(patterns) for name, patterns in table["split"].items()},
        leaks=tuple(leaks),
        notes=tuple(table.get("notes", ())),
        pairs=find_pairs(table["pairs"], table["files"], path.stem) if "pairs" in table else None,
    )
    _check_files(result)
    return result


def _check_kinds(table: Mapping[str, Any], name: str) -> None:
    for key in ("title", "source", "licence", "reader"):
        if not isinstance(table[key], str):
            raise CardError(f"'{key}' of card '{name}' is {table[key]!r}, expected a text.")
    for key in ("split", "files", "pairs"):
        if not isinstance(table.get(key, {}), dict):
            raise CardError(f"'{key}' of card '{name}' is no table: write [{key}].")
    leaks = table.get("leaks", [])
    if not isinstance(leaks, list) or not all(
        isinstance(leak, dict) and isinstance(leak.get("files", []), list) for leak in leaks
    ):
        raise CardError(f"'leaks' of card '{name}' are no tables with lists of files: [[leaks]].")
    for split, patterns in table["split"].items():
        if not isinstance(patterns, list) or not all(isinstance(p, str) for p in patterns):
            raise CardError(
                f"split '{split}' of card '{name}' is {patterns!r}, expected a list of patterns, "
                f'such as ["own/{split}/*.png"].'
            )


def _entries(pattern: str) -> tuple[str, int | None, int | None]:
    match = re.fullmatch(r"(.*)\[(\d+):(\d+)\]", pattern)
    return (pattern, None, None) if match is None else (match[1], int(match[2]), int(match[3]))


def _check_files(card: DataCard) -> None:
    for split, patterns in card.splits.items():
        for pattern in patterns:
            if not any(fnmatchcase(path, _entries(pattern)[0]) for path in card.files):
                raise CardError(
                    f"split '{split}' of card '{card.name}' matches no file: {pattern}."
                )
    for path, sha256 in card.files.items():
        if (
            not re.fullmatch(r"[0-9a-f]{64}", str(sha256))
            or Path(path).is_absolute()
            or ".." in path
        ):
            raise CardError(f"card '{card.name}': {path!r} needs a relative path and a sha256.")


def _part(measurement: Measurement, item: Item) -> Measurement:
    """Take entries of the leading axis from whatever has it."""
    count = measurement.data.shape[0]
    start, stop = item.start or 0, item.stop or 0
    if not start < stop <= count:
        raise DataError(f"{item.path} has {count} entries, its split names [{start}:{stop}].")

    def part(value: Any) -> Any:
        leading = isinstance(value, Tensor) and value.ndim == measurement.data.ndim
        return value[start:stop] if leading and value.shape[0] == count else value

    names = ("data", "noise", "mask", "maps", "psf", "reference")
    return replace(measurement, **{name: part(getattr(measurement, name)) for name in names})
