"""How much memory there is: of the machine, and of what a batch job or container may take of it."""

from __future__ import annotations

import math
from pathlib import Path

__all__ = ["allowed", "available"]


def available() -> float:
    """Bytes of memory that Linux says are available, to this job or container; else no limit."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    except (OSError, ValueError):
        return math.inf
    return min(1024.0 * found[0] if found else math.inf, allowed())


def allowed(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float:
    """Bytes that the control groups of this process leave it: of a batch job, of a container.

    Files in memory that nobody changes count as free. Source: Linux, admin-guide/cgroup-v2 and v1.
    """
    left = math.inf
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        return left
    for line in lines:
        _, kind, place = line.split(":", 2)
        if kind not in ("", "memory"):
            continue
        new = ("memory.max", "memory.current", "inactive_file")
        old = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        names = old if kind else new
        group = root / kind / place.lstrip("/")
        for folder in (group, *group.parents):
            left = min(left, _left(folder, *names))
            if folder == root / kind:
                break
    return left


def _left(folder: Path, limit: str, usage: str, idle: str) -> float:
    try:
        most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
        found = dict(line.split()[:2] for line in (folder / "memory.stat").read_text().splitlines())
        return most - used + int(found.get(idle, 0))
    except (OSError, ValueError):  # "max", or no such group here
        return math.inf
