from __future__ import annotations

import math
from pathlib import Path

from rimaging.benchmark.table import Table, number, publish

TABLE = Table("Title", ["how"], ["method", "PSNR"], [["a|b", "1.00"], ["longer", "23.45"]])


def test_columns_are_aligned_and_the_protocol_stands_above() -> None:
    lines = TABLE.text().splitlines()
    assert lines.index("how") < next(i for i, line in enumerate(lines) if "PSNR" in line)
    assert len({len(line) for line in lines[-4:]}) == 1


def test_markdown_has_as_many_cells_in_every_row() -> None:
    rows = [line for line in TABLE.markdown().splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert {line.replace("\\|", "").count("|") for line in rows} == {3}


def test_publish_writes_the_tables_and_the_pictures_that_they_name(tmp_path: Path) -> None:
    publish("x", [TABLE], {"first": b"png"}, tmp_path / "new")
    text = (tmp_path / "new" / "x.md").read_text(encoding="utf-8")
    assert "## Title" in text and "(x-first.png)" in text
    assert (tmp_path / "new" / "x-first.png").read_bytes() == b"png"


def test_nothing_is_written_without_a_folder(tmp_path: Path) -> None:
    publish("x", [TABLE], {"first": b"png"}, None)
    assert not list(tmp_path.iterdir())


def test_nan_is_a_dash() -> None:
    assert (number(math.nan), number(1.005, 1)) == ("–", "1.0")
