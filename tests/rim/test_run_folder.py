"""The folder of a run: what is damaged in it is named, never overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from rimaging.errors import FormatError, OptionError
from rimaging.rim.run_folder import RunFolder


@pytest.mark.parametrize("content", [b"", b'{"seed": ', b"\xff\xfe", b"[1]", b"3", b"null"])
def test_damaged_settings_are_refused_and_left_as_they_are(tmp_path: Path, content: bytes) -> None:
    record = tmp_path / "config.json"
    record.write_bytes(content)
    with pytest.raises(FormatError, match=r"config\.json is damaged .*choose another folder"):
        RunFolder(tmp_path, {"seed": 0})
    assert record.read_bytes() == content


def test_the_same_settings_resume_and_others_do_not(tmp_path: Path) -> None:
    RunFolder(tmp_path, {"seed": 0})
    RunFolder(tmp_path, {"seed": 0})
    with pytest.raises(OptionError, match=r"other settings \(seed, size\)"):
        RunFolder(tmp_path, {"seed": 1, "size": 16})
