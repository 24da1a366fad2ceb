from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rimaging import demo, demo_scenes
from rimaging.errors import FormatError, WeightsError
from rimaging.reports.html import MAX_BYTES
from rimaging.rim import weights
from rimaging.rim.config import RIMConfig
from rimaging.rim.rim import RIM
from rimaging.rim.weights import save_weights


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "SHIPPED", tmp_path / "weights")
    torch.manual_seed(0)
    for name in ("mri", "astro", "image"):
        config = RIMConfig(complex=name == "mri", steps=1, fine=4, coarse=4)
        save_weights(RIM(config), tmp_path / f"weights/{name}.safetensors", {})


@pytest.mark.usefixtures("shipped")
def test_the_demo_needs_no_data_and_writes_one_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RIMAGING_DATA", str(tmp_path / "absent"))
    demo.main(tmp_path / "a/b")
    lines = capsys.readouterr().out.splitlines()
    page = tmp_path / "a/b/report.html"
    assert lines[-1] == str(page)
    text = page.read_text()
    assert len(text) <= MAX_BYTES
    for title in ("A sky", "A scan", "A photograph"):
        assert title in text
        assert any(title in line for line in lines)
    assert text.count("Simulated") == 3
    assert "A real scan" not in text
    assert "4x undersampled. ... left out" in " ".join(" ".join(lines).split())
    assert "http" not in text.split("</style>")[1].replace("https://doi", "")
    rows = [line.split()[0] for line in lines if line.startswith("  ") and line.strip()]
    assert rows.count(demo_scenes.OURS) == 3


@pytest.mark.usefixtures("shipped")
def test_the_classical_methods_beat_the_data_as_they_came() -> None:
    scene = demo_scenes.sky()
    observed, *others = scene.rows
    classical = [row.psnr for row in others if row.name != demo_scenes.OURS]
    assert observed.psnr is not None
    assert all(psnr is not None and psnr > observed.psnr + 1 for psnr in classical)
    assert observed.seconds is None


def test_without_weights_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "SHIPPED", tmp_path / "none")
    with pytest.raises(WeightsError):
        demo.main(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("shipped")
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FormatError, match="--out"):
        demo.main(tmp_path / "file" / "out")
