"""Memory of processes, by what Linux says of them."""

from __future__ import annotations

from pathlib import Path


def proportional_set(pid: int) -> int:
    """Bytes of a process and its descendants, pages that they share counted once."""
    total = 0
    for part in [pid, *descendants(pid)]:
        try:
            lines = Path(f"/proc/{part}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def descendants(pid: int) -> list[int]:
    found = []
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += (task / "children").read_text().split()
    except OSError:
        return found
    for child in {int(text) for text in children}:
        found += [child, *descendants(child)]
    return found
