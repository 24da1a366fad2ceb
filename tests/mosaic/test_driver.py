"""Every unit is done, tried three times, put aside; what is lost comes again."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rimaging.errors import DataError, FormatError
from rimaging.mosaic.driver import LOSSES, Progress, drive
from rimaging.mosaic.work import Answer


class Scripted:
    """A pool whose units fail or are lost as told."""

    capacity = 4

    def __init__(self, script: dict[int, list[str]]) -> None:
        self.script = {index: list(verdicts) for index, verdicts in script.items()}
        self.waiting: list[int] = []
        self.begun: Counter[int] = Counter()
        self.most = 0

    def submit(self, index: int) -> None:
        self.begun[index] += 1
        self.waiting.append(index)
        self.most = max(self.most, len(self.waiting))

    def next(self) -> Answer:
        index = self.waiting.pop()
        verdict = self.script[index].pop(0) if self.script.get(index) else "done"
        return {"verdict": verdict, "unit": index, "reason": "told", "missing": 0}

    def told(self) -> str:
        return "nobody"


def pixels(index: int) -> int:
    return 100


VERDICTS = st.lists(st.sampled_from(["failed", "lost"]), max_size=5)


@given(st.dictionaries(st.integers(0, 20), VERDICTS))
def test_units_are_done_or_put_aside(script: dict[int, list[str]]) -> None:
    pool = Scripted(script)
    seen: list[Progress] = []
    outcome = drive(range(21), pool, pixels, report=lambda progress, _: seen.append(progress))
    hopeless = {index for index, verdicts in script.items() if verdicts.count("failed") >= 3}
    assert set(outcome.quarantined) == hopeless and outcome.done == 21 - len(hopeless)
    assert pool.most <= pool.capacity and seen[-1].left == 0
    for index in range(21):
        tries = script.get(index, [])
        if index not in hopeless:
            assert pool.begun[index] == 1 + len(tries)


def test_a_disk_that_cannot_be_written_stops_at_once() -> None:
    pool = Scripted({3: ["stop"]})
    with pytest.raises(FormatError, match=r"told.*are safe.*--resume"):
        drive(range(21), pool, pixels)
    assert sum(pool.begun.values()) < 21


def test_workers_that_keep_dying_are_given_up() -> None:
    pool = Scripted({index: ["lost"] * 1000 for index in range(4)})
    with pytest.raises(DataError, match="die or vanish"):
        drive(range(4), pool, pixels)
    assert sum(pool.begun.values()) > LOSSES


def test_progress_in_words() -> None:
    progress = Progress(units=10, done=3, resumed=2, failures=1, pixels=3e6, left=5e6)
    line = progress.line("2 workers")
    assert "5 of 10 units" in line and "2 workers" in line and "1 failures" in line
