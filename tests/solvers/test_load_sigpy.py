from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import torch
from rimaging.solvers.load_sigpy import load_sigpy
load_sigpy()
import os, sigpy
image = sigpy.linop.Wavelet((8, 8)).H(sigpy.linop.Wavelet((8, 8))(torch.ones(8, 8).numpy()))
assert abs(image - 1).max() < 1e-5
print(os.environ["NUMBA_CACHE_DIR"])
"""


def test_sigpy_loads_where_nothing_can_be_written_beside_it(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    # the place that a user names, and none does: as where neither sigpy nor the home is writable
    environ |= {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator", "TMPDIR": str(tmp_path)}
    script = [sys.executable, "-c", SCRIPT]
    run = subprocess.run(script, env=environ, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert Path(run.stdout.strip()).parent == tmp_path
    assert not list(tmp_path.iterdir())


def test_without_a_home_no_folder_of_its_name_is_made(tmp_path: Path) -> None:
    kept = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")
    environ = {name: value for name, value in os.environ.items() if name in kept}
    # as of a user whom nobody knows
    homeless = "import pwd\npwd.getpwuid = {}.__getitem__\n" + SCRIPT
    script = [sys.executable, "-c", homeless]
    run = subprocess.run(
        script, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "rimaging-numba-" in run.stdout
    assert not list(tmp_path.iterdir())
