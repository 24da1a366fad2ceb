"""Signals that ask a training to stop, heard without being cut short."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Stop:
    """Which signal has asked to stop, if any."""

    number: int | None = None

    @property
    def requested(self) -> bool:
        """Whether one has."""
        return self.number is not None


@contextmanager
def stop_requests() -> Iterator[Stop]:
    """Hear SIGTERM and SIGINT, so that the step under way is finished and saved."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def request(number: int, _: object) -> None:
        stop.number = number

    before = {number: signal.signal(number, request) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
