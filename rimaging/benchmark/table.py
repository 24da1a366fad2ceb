"""A table of docs/results.md: its protocol above it, on the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Table:
    """Rows of text under columns; ``protocol`` says line by line how they were measured."""

    title: str
    protocol: Sequence[str]
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """For the terminal: the first column to the left, numbers to the right."""
        widths = self._widths()
        lines = [self.title, "=" * len(self.title), *self.protocol, ""]
        for row in (self.columns, ["-" * width for width in widths], *self.rows):
            cells = [
                cell.rjust(width) if column else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    def markdown(self) -> str:
        """For the docs: a heading, the protocol as a list, a pipe table."""
        rule = ["---", *("---:" for _ in self.columns[1:])]
        lines = [f"## {self.title}", "", *(f"- {line}" for line in self.protocol), ""]
        for row in (self.columns, rule, *self.rows):
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
        return "\n".join(lines)

    def _widths(self) -> list[int]:
        columns = zip(self.columns, *self.rows, strict=True)
        return [max(len(cell) for cell in column) for column in columns]


def publish(
    name: str,
    tables: Sequence[Table],
    pictures: Mapping[str, bytes],
    out: Path | None,
) -> None:
    """Write ``<name>.md`` with the tables and the pictures under it; nothing without ``out``.

    Each picture becomes ``<name>-<its key>.png``. The folder is made if it is absent.
    """
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    lines = [table.markdown() + "\n" for table in tables]
    for key, picture in pictures.items():
        file = out / f"{name}-{key}.png"
        file.write_bytes(picture)
        lines.append(f"![{key}]({file.name})\n")
    (out / f"{name}.md").write_text("\n".join(lines), encoding="utf-8")


def number(value: float, digits: int = 2) -> str:
    """A number with so many decimals; a dash for NaN."""
    return "–" if value != value else f"{value:.{digits}f}"
