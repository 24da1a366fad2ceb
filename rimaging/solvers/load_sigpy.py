"""sigpy, loaded where nothing can be written beside it."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

__all__ = ["load_sigpy"]


def load_sigpy() -> None:
    """Import sigpy, whatever can be written.

    numba keeps what it compiles for sigpy beside sigpy or in the home. Where it can do neither (a
    container, a shared installation), sigpy does not load, and where nobody knows a home, numba
    makes a folder of the name ~ in the present one. It then gets a folder for this process.
    """
    if not _has_home() and "NUMBA_CACHE_DIR" not in os.environ:
        _cache_for_this_process()
    try:
        import sigpy.mri
    except RuntimeError as error:
        if "locator" not in str(error):
            raise
        _cache_for_this_process()
        for name in [name for name in sys.modules if name.partition(".")[0] == "sigpy"]:
            del sys.modules[name]
        import sigpy.mri  # noqa: F401


def _has_home() -> bool:
    try:
        Path.home()
    except RuntimeError:
        return False
    return True


def _cache_for_this_process() -> None:
    folder = tempfile.mkdtemp(prefix="rimaging-numba-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = folder
    if "numba" in sys.modules:
        sys.modules["numba"].config.reload_config()
