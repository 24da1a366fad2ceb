from __future__ import annotations

import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks/astronomy.ipynb"


def test_the_notebook_goes_from_a_fits_to_figures_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbclient = pytest.importorskip("nbclient", reason="pip install nbclient ipykernel")
    pytest.importorskip("ipykernel", reason="pip install nbclient ipykernel")
    nbformat = pytest.importorskip("nbformat")
    # the deep field, which every reader has; no proxy leads out
    monkeypatch.setenv("RIMAGING_DATA", str(tmp_path / "absent"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    said = "".join(output.get("text", "") for output in outputs)
    (found,) = re.findall(r"chi2 [\d.]+ -> ([\d.]+)", said)
    assert 0.9 < float(found) < 1.1
    (change,) = re.findall(r"flux of all bands.*\(([+-][\d.]+)%\)", said)
    assert abs(float(change)) < 1
    assert len(list(tmp_path.glob("*/sky_rim.json"))) == 1
