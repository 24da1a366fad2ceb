"""What a report may tell: no absolute path, and no entry about a person."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from torch import Tensor

_PRIVATE = re.compile(
    r"patient|birth|subject|physician|referring|accession|institution|hospital|operatorsname"
    r"|performing|medicalrecord|^dbname$|^descrip$|^ssn$|^mrn$"
)
# A folder's name may hold spaces: "jane doe/" belongs to the path, "scan.h5 and /" does not.
_WORD = r"[^\s/\\'\"<>,;]+"
_FOLDERS = rf"(?:[/\\]?{_WORD}(?: {_WORD})*(?=[/\\]))"
_PATH = re.compile(
    rf"(?:file:/*|(?<![\w.:/\\~]))(?:[/\\]{_FOLDERS}+|(?:~|[A-Za-z]:){_FOLDERS}*)[/\\](?:{_WORD})?"
)


def public_text(value: object) -> str:
    """A value as text without absolute paths: each is cut to the name of its file."""
    if isinstance(value, PurePath):
        return value.name
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return _PATH.sub(_file_name, text)


def _file_name(match: re.Match[str]) -> str:
    found = match.group().removeprefix("file:")
    flavour = PureWindowsPath if "\\" in found or ":" in found else PurePosixPath
    return flavour(found).name


def public_entries(provenance: Mapping[str, Any]) -> tuple[list[tuple[str, str]], int]:
    """Provenance as flat text without the entries about a person, and how many those were."""
    entries = list(_flat(provenance, ""))
    public = [(k, v) for k, v in entries if not any(map(_is_private, k.split(" · ")))]
    return [(public_text(k), public_text(v)) for k, v in public], len(entries) - len(public)


def _is_private(key: str) -> bool:
    return _PRIVATE.search(re.sub(r"[^a-z]", "", key.lower())) is not None


def _flat(entries: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in entries.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name} · ")
        elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            yield from _flat({str(i): item for i, item in enumerate(value)}, f"{name} · ")
        elif isinstance(value, list | tuple):
            yield name, ", ".join(map(public_text, value))
        elif isinstance(value, np.ndarray | Tensor) and value.ndim:
            yield name, f"array {tuple(value.shape)}"
        else:
            yield name, value
