"""The folder of a training run: its settings, its curves, and the state that it goes on from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from rimaging.errors import FormatError, OptionError
from rimaging.rim.weights import read_tensors, write_tensors

HEAD = "iteration,seconds,learning_rate,loss,psnr"


class RunFolder:
    """``config.json``, ``curves.csv`` and ``state.safetensors`` of one run.

    Args:
        path: the folder, made if need be.
        config: the settings of the run, as JSON.

    Raises OptionError where the folder holds a run with other settings, FormatError where those
    are damaged.
    """

    def __init__(self, path: Path, config: Mapping[str, Any]) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        record = path / "config.json"
        if record.exists():
            before = _settings(record)
            changed = sorted(
                k for k in config.keys() | before.keys() if config.get(k) != before.get(k)
            )
            if changed:
                raise OptionError(
                    f"{path} holds a run with other settings ({', '.join(changed)}): "
                    "choose another folder, or repeat the settings to resume"
                )
        _write_text(record, json.dumps(config, indent=1))

    @property
    def state(self) -> Path:
        """The file of the state."""
        return self.path / "state.safetensors"

    def save(self, tensors: dict[str, Tensor], card: dict[str, str]) -> None:
        """Write the whole state under its final name at once."""
        write_tensors(self.state, tensors, card)

    def load(self) -> tuple[dict[str, Tensor], dict[str, str]] | None:
        """The state and its card; None where none was saved. Raises WeightsError if damaged."""
        return read_tensors(self.state) if self.state.exists() else None

    def record(self, iteration: int, seconds: float, rate: float, loss: float, psnr: float) -> None:
        """Append a line to the curves."""
        curves = self.path / "curves.csv"
        if not curves.exists():
            curves.write_text(f"{HEAD}\n")
        with curves.open("a") as file:
            file.write(f"{iteration},{seconds:.1f},{rate:.3g},{loss:.5f},{psnr:.4f}\n")

    def forget_later_curves(self, iteration: int) -> float | None:
        """Drop what a killed run wrote after its last state; the PSNR of the last line left."""
        curves = self.path / "curves.csv"
        if not curves.exists():
            return None
        head, *rows = curves.read_text().splitlines()
        kept = [row for row in rows if int(row.partition(",")[0]) <= iteration]
        _write_text(curves, "\n".join([head, *kept, ""]))
        return float(kept[-1].rpartition(",")[2]) if kept else None


def _settings(record: Path) -> dict[str, Any]:
    """The settings of a run before, as its config.json has them."""
    try:
        found = json.loads(record.read_text())
        reason = "no table of settings"
    except ValueError as error:  # no text, or no JSON
        found, reason = None, str(error)
    if not isinstance(found, dict):
        raise FormatError(f"{record} is damaged ({reason}): choose another folder")
    return found


def _write_text(path: Path, text: str) -> None:
    """Write a small file under a temporary name and rename it."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)
