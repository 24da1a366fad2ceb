"""The folder of a run of slices beside its output: what it may replace, and when it goes."""

from __future__ import annotations

import shutil
from pathlib import Path

from rimaging.datasets.save import SUFFIXES
from rimaging.errors import OptionError
from rimaging.mosaic import store
from rimaging.mosaic.folder import RunFolder

__all__ = ["check_folder", "check_output", "clear", "remove", "run_folder"]

OWN = {"lock", "input", "facts", "slices.zarr", "slices.run"}
"""What the folder of a run holds."""


def run_folder(output: str | Path) -> Path:
    """The folder of a run beside its output: ``scan.run`` of ``scan.nii.gz``."""
    path = Path(output).expanduser()
    suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), "")
    return path.with_name(path.name[: len(path.name) - len(suffix)] + ".run")


def check_folder(place: Path) -> None:
    """Refuse a folder of that name that holds anything else: it would go with the run."""
    others = {path.name for path in place.iterdir()} - OWN if place.is_dir() else set[str]()
    if others or place.is_file():
        told = f"it holds {', '.join(sorted(others)[:3])}" if others else "it is a file"
        raise OptionError(
            f"{place.name!r} beside the output is no folder of a run of slices ({told}): choose "
            "another name for the output, or move it away"
        )


def check_output(output: str | Path, folder: RunFolder, *, resume: bool, overwrite: bool) -> None:
    """Refuse an output or a run that is there, unless it is to be replaced or gone on with."""
    there = folder.plan.is_file()
    path = Path(output).expanduser()
    filled = (path.is_dir() and any(path.iterdir())) or path.is_file()
    # of a run that goes on only where it had begun to write it
    if filled and not overwrite and not (resume and folder.complete.is_file()):
        also = " as well" if resume and there else ""
        raise OptionError(f"{path.name!r} exists: choose another name, or give --overwrite{also}")
    if there and not resume and not overwrite:
        raise OptionError(
            f"{run_folder(output).name!r} holds a run: --resume goes on with it, --overwrite "
            "starts again"
        )


def clear(place: Path) -> None:
    """Remove what an older run left, but the lock that is held; its plan first."""
    RunFolder.beside(place / "slices.zarr").plan.unlink(missing_ok=True)
    for path in place.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()
    store.forget()


def remove(place: Path) -> None:
    """Remove the folder of a run whose output is written: at once, then its content."""
    gone = place.with_name(f".{place.name}.done")
    shutil.rmtree(gone, ignore_errors=True)
    place.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    store.forget()
