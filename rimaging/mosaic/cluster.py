"""A cluster: one that is started here, or one that is there."""

from __future__ import annotations

import ipaddress
import logging
import multiprocessing
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from rimaging.errors import OptionError

NAME = "rimaging"
KEPT = 1 << 28
"""Bytes that a worker may keep for its next tile."""
FROM_KEPT = 1 << 25
"""Largest tensor in bytes that is taken from them: the most that glibc allows."""
GUARD = (
    "workers read the script that starts them: put what it does under `if __name__ == '__main__':`"
)
START = 300.0
"""Seconds to wait for the first worker to load its libraries."""


@contextmanager
def local_cluster(workers: int, threads: int, *, gpus: Sequence[int] = ()) -> Iterator[Any]:
    """A client of worker processes started here, on the loopback interface only.

    One process for each GPU of ``gpus``, which sees no other; else ``workers`` of them, each of so
    many threads, one of which computes at a time. Torch takes one thread in each. Raises
    OptionError where no worker starts.
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
        # Dask has workers give every page back at once, and they fault it in again for each tensor:
        # twice the time of a small network. Threads of one arena share what is kept.
        "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": KEPT,
        "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": FROM_KEPT,
        "distributed.nanny.pre-spawn-environ.MALLOC_ARENA_MAX": 1,
        # What Dask keeps of its own doings grows for an hour, by some 20 MB in each process.
        "distributed.worker.profile.enabled": False,
        "distributed.admin.system-monitor.log-length": 600,
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
        try:
            started = library.SpecCluster(
                workers=spec, scheduler=scheduler, name=NAME, silence_logs=logging.CRITICAL
            )
        except RuntimeError as error:  # a process ended before it was a worker, or no loopback
            reason = " ".join(str(error).split())
            raise OptionError(
                f"no worker process can be started ({reason}): {GUARD}; else leave out the number "
                "of workers, and one process does it all"
            ) from None
        with (
            started as cluster,
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
    check_scheduler(address, insecure=insecure)
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


def check_scheduler(address: str, *, insecure: bool = False) -> None:
    """As `check_address`, of one that `remote_cluster` is to join: TLS needs certificates.

    They are asked for here, since a client of Dask that fails without them cannot be closed.
    """
    check_address(address, insecure=insecure)
    if address.startswith(("tls:", "wss:")) and not _has_certificates():
        raise OptionError(
            f"the scheduler {address} speaks TLS: state its certificates in Dask's "
            "configuration, distributed.comm.tls"
        )


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


def _has_certificates() -> bool:
    import distributed.security

    library: Any = distributed.security
    return library.Security().get_connection_args("client").get("ssl_context") is not None


def check_main() -> None:
    """Raise OptionError in a worker that reads the script which started it: it would start more."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise OptionError(GUARD)


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
