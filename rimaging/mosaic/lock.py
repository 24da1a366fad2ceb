"""One run for one output: a lock that dies with its process."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rimaging.errors import OptionError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``, or raise OptionError that says who holds it.

    The system lets go of it when the process ends, however it ends: the file that a killed run
    leaves behind locks nothing.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(file, 200).decode(errors="replace").strip() or "another process"
            raise OptionError(
                f"{path.parent.name!r} is being worked on by {holder}: wait for it, stop it, or "
                "choose another output"
            ) from None
        os.ftruncate(file, 0)
        os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        os.close(file)
