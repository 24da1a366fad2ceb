"""`out.run`: the plan of a run and its fingerprint, its receipts, and the store on its way."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from rimaging import __version__
from rimaging.errors import FormatError, OptionError
from rimaging.mosaic import receipts, store
from rimaging.mosaic.sources import Description
from rimaging.mosaic.task import Process, Task, digest
from rimaging.mosaic.tiles import Grid, Unit


@dataclass(frozen=True)
class Recipe:
    """All that decides the values of an output, and so all that a resumed run must share.

    source: as `rimaging.mosaic.sources.describe` gives it. header: cards for a FITS output, one for
    each line. notes: what to write down of it, such as the seam error and the weights' name;
    "extensions" are those that follow the planes in FITS, whole and in base64.
    """

    source: Description
    grid: Grid
    task: Task
    header: str = ""
    notes: dict[str, Any] | None = None

    @property
    def asked(self) -> dict[str, Any]:
        """What the user gave, of which the settings were made: the task's setting "asked"."""
        found: dict[str, Any] = self.task.settings.get("asked", {})
        return found

    @property
    def settings(self) -> dict[str, Any]:
        """What a fingerprint is made of, by name; large values as digests.

        Not where files lie: what was moved is the same, and what took its place is not.
        """
        given = {name: value for name, value in self.task.settings.items() if name != "asked"}
        given |= {f"given {name}": value for name, value in self.asked.items()}
        given = {name: _placeless(value) for name, value in given.items()}
        options = {
            f"option {name}": digest(json.dumps(value, sort_keys=True)) if _large(value) else value
            for name, value in given.items()
        }
        identity = dict(self.source.get("identity", {}))
        if "extension" in self.source:  # another image of the same file
            identity["extension"] = self.source["extension"]
        return {
            "version": __version__,
            **{f"input {name}": value for name, value in identity.items()},
            "shape": list(self.grid.shape),
            "tile": list(self.grid.unit),
            "halo": self.grid.halo,
            "factory": self.task.factory,
            "planes": list(self.task.planes),
            **options,
        }

    @property
    def fingerprint(self) -> str:
        """One name for all of it."""
        return digest(json.dumps(self.settings, sort_keys=True))


def _placeless(value: Any) -> Any:
    """A value without the paths in it."""
    if isinstance(value, dict):
        return {name: _placeless(part) for name, part in value.items() if name != "path"}
    return [_placeless(part) for part in value] if isinstance(value, list) else value


def _large(value: Any) -> bool:
    return len(json.dumps(value)) > 200


class RunFolder:
    """The folder of a run beside its output: ``out.fits`` and ``out.run``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan = path / "plan.json"
        self.receipts = path / "receipts"
        self.store = path / "tiles.zarr"
        self.lock = path / "lock"
        self.quarantine = path / "quarantine.json"
        self.complete = path / "complete.json"

    @classmethod
    def beside(cls, output: Path) -> RunFolder:
        """The folder that belongs to an output."""
        return cls(output.with_suffix(".run"))

    @property
    def name(self) -> str:
        """One name for the plan as it stands, where files lie included."""
        return digest(self._text())

    @property
    def fingerprint(self) -> str:
        """That of the recipe that the run began with, by which its receipts are known."""
        return str(self._read()["fingerprint"])

    def start(self, recipe: Recipe) -> None:
        """Make the folder ready for a new run."""
        self.receipts.mkdir(parents=True, exist_ok=True)
        store.forget()
        store.create(self.store, recipe.grid, recipe.task.planes)
        # Last, and at once: a folder with a plan is a folder that can be resumed.
        self._write(recipe, recipe.settings)

    def _write(self, recipe: Recipe, settings: dict[str, Any]) -> None:
        text = json.dumps(
            {
                "fingerprint": digest(json.dumps(settings, sort_keys=True)),
                "settings": settings,
                "source": recipe.source,
                "grid": asdict(recipe.grid),
                "task": asdict(recipe.task),
                "header": recipe.header,
                "notes": recipe.notes,
            },
            indent=1,
        )
        write_whole(self.plan, text)

    def resume(self, recipe: Recipe) -> None:
        """Check that this run is that of ``recipe``; raises OptionError naming what changed.

        Workers then take what code runs, and where files lie, as ``recipe`` has it now.
        """
        settings = self._read()["settings"]
        changed = [
            name
            for name in sorted(settings.keys() | recipe.settings.keys())
            if settings.get(name) != json.loads(json.dumps(recipe.settings.get(name)))
        ]
        if changed:
            told = "; ".join(
                f"{name} was {_short(settings.get(name))}, is {_short(recipe.settings.get(name))}"
                for name in changed
            )
            raise OptionError(
                f"{self.path.name!r} cannot be resumed, since this changed: {told}. Undo it, or "
                "remove the folder to start again"
            )
        self._write(recipe, settings)
        store.sweep(self.store)

    def recipe(self) -> Recipe:
        """The recipe of the run that is here; raises FormatError for a damaged folder."""
        found = self._read()
        try:
            grid = {name: value for name, value in found["grid"].items()}
            task = found["task"]
            recipe = Recipe(
                source=found["source"],
                grid=Grid(tuple(grid["shape"]), tuple(grid["unit"]), grid["halo"]),
                task=Task(**{**task, "planes": tuple(task["planes"])}),
                header=found["header"],
                notes=found["notes"],
            )
        except (KeyError, TypeError, AttributeError):
            raise FormatError(
                f"{self.plan.name} of {self.path.name!r} is no plan of ours"
            ) from None
        if digest(json.dumps(found["settings"], sort_keys=True)) != found["fingerprint"]:
            raise FormatError(f"{self.plan.name} of {self.path.name!r} was changed: start again")
        return recipe

    def done(self, recipe: Recipe) -> dict[int, receipts.Receipt]:
        """Receipts of units whose shards are there with the size that they had."""
        found, _ = receipts.read_receipts(self.receipts, self.fingerprint)
        return {
            index: receipt
            for index, receipt in found.items()
            if index < len(recipe.grid)
            and all(
                self._stored(plane, recipe.grid[index]) == written.stored
                for plane, written in receipt.planes.items()
            )
        }

    def _stored(self, plane: str, unit: Unit) -> int:
        try:
            return store.shard_path(self.store, plane, unit).stat().st_size
        except OSError:
            return -1

    def _text(self) -> str:
        try:
            return self.plan.read_text()
        except (OSError, ValueError):
            raise self._no_plan() from None

    def _read(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._text())
        except ValueError:
            raise self._no_plan() from None
        if not isinstance(found, dict) or not {"settings", "fingerprint"} <= found.keys():
            raise self._no_plan()
        return found

    def _no_plan(self) -> FormatError:
        return FormatError(f"{self.path.name!r} holds no plan of a run: remove it and start again")


@lru_cache(maxsize=4)
def recipe_of(folder: str, name: str) -> Recipe:
    """The recipe of the plan of that name in a folder, read once in a process.

    Raises OptionError where another run has begun there since.
    """
    run = RunFolder(Path(folder))
    if run.name != name:
        raise OptionError(
            f"{run.path.name!r} has another plan by now: this unit is of an older one"
        )
    return run.recipe()


@lru_cache(maxsize=4)
def process_of(folder: str, name: str) -> Process:
    """The process of that recipe, built once: what is found by its settings reads all of them."""
    return recipe_of(folder, name).task.build()


def write_whole(path: Path, text: str) -> None:
    """Write a small file under a temporary name, and rename it when it is safe on the disk."""
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 40 else f"{text[:12]}..."
