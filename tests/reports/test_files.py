"""Files of reports appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rimaging import image
from rimaging.errors import FormatError
from rimaging.reports.files import write_whole


def test_a_file_is_written_whole_over_another(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        assert write_whole(tmp_path / "page.html", content).read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_what_the_system_refuses_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, content: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FormatError, match="No space left"):
        write_whole(tmp_path / "page.html", b"page")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("what", ["report", "film"])
def test_reports_and_films_tell_where_they_cannot_go(what: str, tmp_path: Path) -> None:
    noisy = torch.rand(9, 8, generator=torch.Generator().manual_seed(0))
    result = image.denoise(noisy, 0.1, method="map", steps=2, keep_steps=True)
    write = getattr(result, what)
    with pytest.raises(FormatError, match="create it first"):
        write(tmp_path / "absent" / "page")
    with pytest.raises(FormatError, match="is a folder"):
        write(tmp_path)
    assert write(str(tmp_path / "page")) == tmp_path / "page"
    assert [path.name for path in tmp_path.parent.glob(f"*{tmp_path.name}*")] == [tmp_path.name]
