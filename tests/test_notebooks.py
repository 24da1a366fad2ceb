"""The notebooks run from their first cell to their last, without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a network nor the folder of real data: what every reader has."""
    monkeypatch.setenv("RIMAGING_DATA", str(tmp_path / "absent"))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")


def executed(name: str, folder: Path, *needs: str) -> list[Any]:
    """The outputs of all cells, run in a folder; skips where a module that it needs is absent."""
    for module in ("nbclient", "ipykernel", *needs):
        pytest.importorskip(module, reason=f"the notebook needs it: pip install {module}")
    import nbclient
    import nbformat

    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    place = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_stored_without_outputs(name: str) -> None:
    cells = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.usefixtures("offline")
def test_the_mri_notebook_goes_from_a_file_to_figures(tmp_path: Path) -> None:
    outputs = executed("mri.ipynb", tmp_path, "ismrmrd", "pydicom")
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    lines = "".join(output.get("text", "") for output in outputs).splitlines()
    assert any(line.startswith("simulated") for line in lines)
    names = ("rim", "zero-filled", "cg-sense")
    scores = {w[0]: float(w[1]) for w in map(str.split, lines) if len(w) == 3 and w[0] in names}
    assert scores["rim"] == max(scores.values())
    assert len(scores) == 3
    assert len(list((tmp_path / "dicom").iterdir())) == 3
    assert (tmp_path / "scan.nii.gz").is_file()
