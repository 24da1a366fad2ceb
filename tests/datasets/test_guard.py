from __future__ import annotations

import bz2
import gzip
import hashlib
from pathlib import Path

import pytest

from rimaging.datasets import guard
from rimaging.datasets.guard import check_declared, existing_file, expanded, identity
from rimaging.errors import FormatError


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_expanding_gives_the_content(tmp_path: Path, pack: object) -> None:
    content = bytes(range(256)) * 500
    path = tmp_path / "packed"
    path.write_bytes(pack(content))  # type: ignore[operator]
    assert expanded(path).getvalue() == content


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_bomb_is_refused_early(
    tmp_path: Path, pack: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "FREE", 1 << 20)
    path = tmp_path / "bomb.gz"
    path.write_bytes(pack(bytes(4 << 20)))  # type: ignore[operator]
    with pytest.raises(FormatError, match="expands beyond"):
        expanded(path)


def test_truncated_and_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "half.gz"
    path.write_bytes(gzip.compress(bytes(range(256)) * 100)[:-20])
    with pytest.raises(FormatError, match=r"half[.]gz"):
        expanded(path)


def test_only_absurd_declarations_are_refused() -> None:
    check_declared(8 << 30, 4 << 30, "array")
    check_declared(3 << 30, 10, "array")
    with pytest.raises(FormatError, match="declares"):
        check_declared(4 << 40, 1000, "array")


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="does not exist"):
        existing_file(tmp_path / "absent")
    with pytest.raises(FormatError, match="is a folder"):
        existing_file(tmp_path)


def test_identity_is_the_sha256(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    assert identity(path) == hashlib.sha256(b"content").hexdigest()
