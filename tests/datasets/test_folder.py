from __future__ import annotations

import os
from pathlib import Path

import pytest

from rimaging.datasets.folder import check_folder, is_folder, whole_folder
from rimaging.errors import FormatError


def test_a_folder_ends_with_a_slash() -> None:
    assert is_folder("dicom/")
    assert not is_folder("dicom")
    assert not is_folder(Path("dicom/"))


def test_nothing_is_left_of_what_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_folder(tmp_path / "out", ".txt", overwrite=False):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_comes_back_where_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "out"
    old.mkdir()
    (old / "a.txt").write_text("old")
    replace = Path.replace

    def refuse(path: Path, target: Path) -> Path:
        if path.name.startswith(".writing-") and not path.name.endswith(".old"):
            raise OSError(13, "Permission denied")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with (
        pytest.raises(FormatError, match="Permission denied"),
        whole_folder(old, ".txt", overwrite=True) as folder,
    ):
        (folder / "b.txt").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (old / "a.txt").read_text() == "old"


def test_a_folder_has_the_permissions_of_the_user(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "out", ".txt", overwrite=False) as folder:
        (folder / "a.txt").write_text("new")
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o777 & ~mask


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(FormatError, match="is a file"):
        check_folder(tmp_path / "out", ".dcm", overwrite=True)
