"""sigpy, loaded where nothing can be written beside it."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile

__all__ = ["load_sigpy"]


def load_sigpy() -> None:
    """Import sigpy, whatever can be written.

    numba keeps what it compiles for sigpy beside sigpy or in the home. Where it can do neither (a
    container, a shared installation), sigpy does not load; it then gets a folder for this process.
    """
    try:
        import sigpy.mri
    except RuntimeError as error:
        if "locator" not in str(error):
            raise
        folder = tempfile.mkdtemp(prefix="rimaging-numba-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["NUMBA_CACHE_DIR"] = folder
        sys.modules["numba"].config.reload_config()  # sigpy has brought it
        for name in [name for name in sys.modules if name.partition(".")[0] == "sigpy"]:
            del sys.modules[name]
        import sigpy.mri  # noqa: F401
