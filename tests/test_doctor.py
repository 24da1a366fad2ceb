from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

from rimaging import doctor
from rimaging.rim import weights
from rimaging.rim.config import RIMConfig
from rimaging.rim.rim import RIM
from rimaging.rim.weights import save_weights

KINDS = {
    "mri": RIMConfig(complex=True, steps=2, fine=4, coarse=4, newton_iterations=2),
    "astro": RIMConfig(steps=2, fine=4, coarse=4, newton_iterations=2),
    "image": RIMConfig(steps=2, fine=4, coarse=4),
}


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    for name, config in KINDS.items():
        save_weights(RIM(config), tmp_path / f"{name}.safetensors", {})
    return tmp_path


def levels() -> dict[str, str]:
    return {finding.name: finding.level for finding in doctor.findings()}


def test_a_whole_installation_is_well(shipped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main()
    text = capsys.readouterr().out
    assert text.count("self-test of 32 x 32 pixels passed") == 3
    assert "BAD" not in text


def test_absent_and_damaged_weights_are_bad_and_have_advice(shipped: Path) -> None:
    (shipped / "mri.safetensors").unlink()
    path = shipped / "astro.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    found = {f.name: f for f in doctor.findings() if f.name.startswith("weights")}
    assert {name for name, f in found.items() if f.level == "error"} == {
        "weights mri",
        "weights astro",
    }
    assert all(f.advice for f in found.values() if f.level == "error")
    assert not doctor.main()


WANTED = ["torch>=2.11", "nowhere-to-be-found>=1.2", "galsim>=2.5; extra == 'simulation'"]
"""As the metadata of an installation have them."""


def test_whatever_is_needed_is_looked_for(
    shipped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    versions = {"torch": "2.11.0+cpu", "nowhere-to-be-found": "1.10", "galsim": "2.5"}

    def version(name: str) -> str:
        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(doctor, "requires", lambda name: WANTED)
    monkeypatch.setattr(doctor, "version", version)
    monkeypatch.setattr(doctor, "SHOWN", ("torch",))
    assert doctor.main() and levels()["extras"] == "ok"
    del versions["galsim"]
    assert doctor.main() and levels()["extras"] == "note"
    assert "pip install 'rimaging[simulation]'" in capsys.readouterr().out
    versions["torch"] = "2.9.1"
    assert not doctor.main()
    assert "'torch>=2.11'" in capsys.readouterr().out
    versions["torch"] = "2.11"
    del versions["nowhere-to-be-found"]
    assert not doctor.main()
    assert "'nowhere-to-be-found>=1.2'" in capsys.readouterr().out


def test_every_requirement_of_the_project_is_understood() -> None:
    project = tomllib.loads(
        (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    )["project"]
    extras = project["optional-dependencies"].values()
    for text in [*project["dependencies"], *(text for extra in extras for text in extra)]:
        assert doctor.REQUIREMENT.fullmatch(text), text


def test_absent_data_are_a_note(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RIMAGING_DATA", str(tmp_path / "absent"))
    assert levels()["data"] == "note"
    monkeypatch.setenv("RIMAGING_DATA", str(tmp_path))
    assert levels()["data"] == "ok"


@pytest.mark.parametrize("kind", KINDS)
def test_the_self_test_finds_a_network_that_breaks_scale(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rim = RIM(KINDS[kind]).eval()
    assert doctor.self_test(rim) == ""
    forward = rim.forward
    monkeypatch.setattr(rim, "forward", lambda likelihood: [x + 1 for x in forward(likelihood)])
    assert "twice the data" in doctor.self_test(rim)
    monkeypatch.setattr(rim, "forward", lambda likelihood: [x / 0 for x in forward(likelihood)])
    assert "not finite" in doctor.self_test(rim)
    monkeypatch.setattr(
        rim, "forward", lambda likelihood: [x + torch.rand(()) for x in forward(likelihood)]
    )
    assert "run to run" in doctor.self_test(rim)
