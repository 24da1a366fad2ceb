"""Who does the units: this process, or the workers of a cluster, which may die."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from queue import Empty, SimpleQueue
from typing import Any

from rimaging.errors import OptionError
from rimaging.mosaic.cluster import NAME
from rimaging.mosaic.work import Answer, Run, reason_of, work

DEPTH = 3
"""Units in flight for each worker thread: one that computes, others that wait at hand."""
PATIENCE = 60.0
"""Seconds to wait for a scheduler that has vanished."""
CARE = 5.0
"""Seconds without an answer after which it is looked after the workers."""


class InProcess:
    """The units one after another in this process: for images that take no cluster."""

    capacity = 1

    def __init__(self, run: Run) -> None:
        self.run = run
        self.waiting: deque[int] = deque()

    def submit(self, index: int) -> None:
        """Begin a unit."""
        self.waiting.append(index)

    def next(self) -> Answer:
        """Do one."""
        return work(self.run, self.waiting.popleft())

    def told(self) -> str:
        """Who works."""
        return "in this process"


class OnCluster:
    """The units as tasks of a Dask cluster, which may lose its workers and its scheduler."""

    def __init__(self, client: Any, run: Run) -> None:
        self.client = client
        self.run = run
        self.futures: dict[str, tuple[int, Any]] = {}
        self.attempts = 0
        self.asked = 0.0
        self.threads: tuple[int, ...] = ()
        self.ready: SimpleQueue[Any] = SimpleQueue()
        self.lost: deque[Answer] = deque()

    @property
    def capacity(self) -> int:
        """`DEPTH` for each thread that is there now."""
        return DEPTH * max(1, sum(self._workers()))

    def _workers(self) -> tuple[int, ...]:
        """Threads of each worker, asked for once in a second; the last answer if nobody answers."""
        if time.monotonic() - self.asked > 1:
            with contextlib.suppress(Exception):  # the scheduler is gone for now
                self.threads = tuple(self.client.nthreads().values())
            self.asked = time.monotonic()
        return self.threads

    def submit(self, index: int) -> None:
        """Begin a unit; a scheduler that is gone makes it a lost one."""
        self.attempts += 1
        key = f"rimaging-{self.run[1][:12]}-{index}-{self.attempts}"
        try:
            future = self.client.submit(work, self.run, index, key=key, pure=False, retries=0)
        except Exception as error:
            self.lost.append({"verdict": "lost", "unit": index, "reason": reason_of(error)})
            return
        self.futures[key] = (index, future)
        future.add_done_callback(self.ready.put)

    def next(self) -> Answer:
        """Wait for one; what was lost with its worker or scheduler is told as lost."""
        if self.lost:
            self._wait_for_scheduler()
            return self.lost.popleft()
        future = self._ready()
        index, _ = self.futures.pop(future.key)
        if future.status == "finished":
            try:
                answer: Answer = future.result()
                return answer
            except Exception as error:  # it vanished between the two
                return {"verdict": "lost", "unit": index, "reason": reason_of(error)}
        if future.status == "error":
            return self._of_error(future, index)
        self._wait_for_scheduler()
        return {"verdict": "lost", "unit": index, "reason": f"the scheduler was {future.status}"}

    def _ready(self) -> Any:
        """The next future that is done, one way or another."""
        while True:
            try:
                return self.ready.get(timeout=CARE)
            except Empty:
                self._replace_workers()

    def _replace_workers(self) -> None:
        """Start processes anew that died while they started, which nobody else does.

        Only in a cluster of ours: others have their own ways.
        """
        cluster = self.client.cluster
        if getattr(cluster, "name", "") == NAME and len(self._workers()) < len(cluster.worker_spec):
            with contextlib.suppress(Exception):  # it is tried again
                cluster.scale(len(cluster.worker_spec))

    def _of_error(self, future: Any, index: int) -> Answer:
        from distributed.scheduler import KilledWorker

        error = future.exception()
        # Work raises nothing itself: what arrives are workers that died with this unit, again and
        # again, or that cannot import what it takes.
        killed = isinstance(error, KilledWorker)
        reason = "its worker was killed, several times" if killed else reason_of(error)
        return {"verdict": "failed", "unit": index, "reason": reason}

    def _wait_for_scheduler(self) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.client.status == "running":
                with contextlib.suppress(Exception):
                    self.client.scheduler_info()
                    self.client.wait_for_workers(1, timeout=max(1.0, end - time.monotonic()))
                    return
            time.sleep(0.2)
        raise OptionError(
            f"the scheduler did not come back within {PATIENCE:.0f} s; what is done is safe: start "
            "it again, then --resume"
        )

    def told(self) -> str:
        """Who works."""
        count = len(self._workers())
        return f"{count} worker{'' if count == 1 else 's'}"
