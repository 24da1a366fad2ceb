"""Tasks for tests, imported by name in the workers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rimaging.mosaic.generated import box_blur
from rimaging.mosaic.tiles import Unit


def blur(settings: dict[str, Any]) -> Callable[[np.ndarray, Unit], np.ndarray]:
    """A box blur that notes each unit, may take its time, fail, or kill its process."""
    inner = box_blur(settings)

    def process(block: np.ndarray, unit: Unit) -> np.ndarray:
        if "log" in settings:
            file = os.open(settings["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(file, f"{unit.index}\n".encode())
            os.close(file)
        time.sleep(settings.get("seconds", 0))
        if unit.index in settings.get("fails", []):
            raise ValueError("this unit is bad")
        if unit.index in settings.get("kills", []):
            once = Path(settings["log"] + f".killed-{unit.index}")
            if not once.exists():
                once.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return inner(block, unit)

    return process
