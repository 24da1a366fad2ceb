"""Who works: this process, a cluster that is started here, or one that is there."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from rimaging.errors import OptionError
from rimaging.mosaic.work import Answer, reason_of, work

DEPTH = 3
"""Units in flight for each worker thread: one that computes, others that wait at hand."""
PATIENCE = 60.0
"""Seconds to wait for a scheduler that has vanished."""
CARE = 5.0
"""Seconds without an answer after which it is looked after the workers."""
NAME = "rimaging"
START = 300.0
"""Seconds to wait for the first worker to load its libraries."""


class InProcess:
    """The units one after another in this process: for images that take no cluster."""

    capacity = 1

    def __init__(self, folder: str, fingerprint: str) -> None:
        self.run = (folder, fingerprint)
        self.waiting: deque[int] = deque()

    def submit(self, index: int) -> None:
        """Begin a unit."""
        self.waiting.append(index)

    def next(self) -> Answer:
        """Do one."""
        return work(*self.run, self.waiting.popleft())

    def told(self) -> str:
        """Who works."""
        return "in this process"


class OnCluster:
    """The units as tasks of a Dask cluster, which may lose its workers and its scheduler."""

    def __init__(self, client: Any, folder: str, fingerprint: str) -> None:
        self.client = client
        self.run = (folder, fingerprint)
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
            future = self.client.submit(work, *self.run, index, key=key, pure=False, retries=0)
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


@contextmanager
def local_cluster(workers: int, *, threads: int = 1, gpus: Sequence[int] = ()) -> Iterator[Any]:
    """A client of worker processes started here, on the loopback interface only.

    One process for each GPU of ``gpus``, which sees no other; else ``workers`` of them. Torch takes
    one thread in each. Raises OptionError where no worker starts.
    """
    import dask
    import distributed

    library: Any = distributed  # which is not typed
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    visible: list[dict[str, str]] = (
        [{"CUDA_VISIBLE_DEVICES": str(gpu)} for gpu in gpus] if gpus else [{}] * workers
    )
    spec = {
        number: {
            "cls": library.Nanny,
            "options": {
                "nthreads": threads,
                "host": "127.0.0.1",
                "env": {**one_thread, **see, "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"},
                "memory_limit": 0,
                "dashboard": False,
                "silence_logs": logging.CRITICAL,
            },
        }
        for number, see in enumerate(visible)
    }
    settings = {
        # Units are alike and long: stealing only moves them about.
        "distributed.scheduler.work-stealing": False,
        "distributed.comm.retry.count": 3,
        # A worker that was killed may take long to come back on a busy machine; 15 seconds after
        # its death Dask would give up the process that restarts it.
        "distributed.deploy.lost-worker-timeout": "120s",
    }
    with dask.config.set(settings), _quiet():
        scheduler = {
            "cls": library.Scheduler,
            "options": {
                "host": "127.0.0.1",
                "dashboard": _has_dashboard(),
                "dashboard_address": "127.0.0.1:0",
            },
        }
        with (
            library.SpecCluster(
                workers=spec, scheduler=scheduler, name=NAME, silence_logs=logging.CRITICAL
            ) as cluster,
            library.Client(cluster, set_as_default=False) as client,
        ):
            try:
                client.wait_for_workers(1, timeout=START)
            except Exception as error:  # a TimeoutError of one of three kinds
                raise OptionError(
                    f"no worker process started within {START:.0f} s ({type(error).__name__}): is "
                    "the machine overloaded, or out of memory?"
                ) from None
            yield client


@contextmanager
def remote_cluster(address: str, *, insecure: bool = False) -> Iterator[Any]:
    """A client of a scheduler that is there; TLS certificates come from Dask's configuration.

    Raises OptionError for a public address without TLS, and where nobody answers.
    """
    check_address(address, insecure=insecure)
    import distributed

    library: Any = distributed
    try:
        client = library.Client(address, timeout=10, set_as_default=False)
    except Exception as error:
        raise OptionError(
            f"no scheduler answers at {address} ({type(error).__name__}): start one with `dask "
            "scheduler`, or check the address"
        ) from None
    with client:
        yield client


def check_address(address: str, *, insecure: bool = False) -> None:
    """Refuse a scheduler that the whole world can reach and read (CVE-2021-42343)."""
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    if parts.scheme in ("tls", "wss", "inproc") or insecure:
        return
    try:
        found = socket.getaddrinfo(parts.hostname, None)
    except OSError:
        raise OptionError(f"the host of the scheduler {address} is unknown: check it") from None
    addresses = {str(entry[4][0]).partition("%")[0] for entry in found}
    if any(ipaddress.ip_address(text).is_global for text in addresses):
        raise OptionError(
            f"the scheduler {address} is on a public address without TLS, where anybody may run "
            "code on your workers: use tls://, a tunnel (ssh -L), or insist with --insecure"
        )


def _has_dashboard() -> bool:
    from importlib.util import find_spec

    return find_spec("bokeh") is not None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the log of a worker's death, which the driver tells in one word, from the terminal."""
    names = ("distributed", "distributed.nanny", "distributed.scheduler", "distributed.client")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
