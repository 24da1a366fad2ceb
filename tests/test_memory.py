"""How much memory there is: what control groups leave, wherever it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rimaging.datasets.measurement import Measurement
from rimaging.datasets.pieces import at_once
from rimaging.errors import ShapeError
from rimaging.memory import allowed, available


@pytest.mark.parametrize("kind", ["", "memory"])
def test_a_job_may_take_what_its_groups_leave(kind: str, tmp_path: Path) -> None:
    names = ("limit_in_bytes", "usage_in_bytes") if kind else ("max", "current")
    idle = "total_inactive_file" if kind else "inactive_file"
    (tmp_path / "cgroup").write_text(f"7:cpu:/elsewhere\n4:{kind}:/job/step\n")
    step = tmp_path / kind / "job" / "step"
    step.mkdir(parents=True)
    assert allowed(tmp_path / "cgroup", tmp_path) == float("inf")
    for folder, values in ((step, ("max", 5)), (step.parent, (1000, 700))):
        for name, value in zip(names, values, strict=True):
            (folder / f"memory.{name}").write_text(f"{value}\n")
        (folder / "memory.stat").write_text(f"anon 600\n{idle} 90\n")
    assert allowed(tmp_path / "cgroup", tmp_path) == 1000 - 700 + 90


def test_what_is_available_is_no_more_than_is_allowed() -> None:
    assert 0 < available() <= allowed()


def test_a_container_that_leaves_too_little_takes_fewer_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = Measurement(kind="image", data=torch.ones(6, 32, 32))
    cpu = torch.device("cpu")
    assert at_once(whole, 1000.0, cpu, together=3) % 3 == 0
    monkeypatch.setattr("rimaging.datasets.pieces.available", lambda: 4e6)
    assert at_once(whole, 500.0, cpu) < 6
    with pytest.raises(ShapeError, match="device with more memory"):
        at_once(whole, 1e5, cpu)
