"""Results in the viewers of the field: DS9 and napari."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from rimaging.errors import OptionError

__all__ = ["find_ds9", "show_ds9", "show_napari"]


def find_ds9() -> str:
    """The path of the program; raise OptionError where DS9 is not on the PATH."""
    found = shutil.which("ds9")
    if found is None:
        raise OptionError(
            "'ds9' is not on the PATH: install SAOImage DS9 (https://ds9.si.edu), or save the "
            "result as .fits and open it where DS9 is."
        )
    return found


def show_ds9(path: Path, program: str) -> subprocess.Popen[bytes]:
    """Open every extension of a FITS file in a DS9 of its own, and give its process."""
    return subprocess.Popen([program, "-multiframe", str(path), "-lock", "frame", "wcs"])


def show_napari(layers: dict[str, np.ndarray]) -> Any:
    """Show arrays ``(..., y, x)`` as layers of a new napari viewer, and give the viewer.

    Raises OptionError where napari is not installed.
    """
    try:
        import napari
    except ImportError:
        raise OptionError("napari is not installed: pip install 'napari[all]'.") from None
    viewer = napari.Viewer()
    for name, array in layers.items():
        viewer.add_image(np.abs(array) if np.iscomplexobj(array) else array, name=name)
    return viewer
