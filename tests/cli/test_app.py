"""Misuse is told in one line, like every other error."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from rimaging.cli.app import app

MISUSED = {
    "an argument that is missing": (["recon"], "kspace", "rimaging recon --help"),
    "an option that is missing": (["recon", "x.h5"], "--output", "rimaging recon --help"),
    "an option that does not exist": (["validate", "--nonsense"], "--nonsense", "validate --help"),
    "a command that does not exist": (["reconstruct"], "reconstruct", "rimaging --help"),
    "an option before the command": (["--fast", "recon"], "--fast", "rimaging --help"),
    "a word for a number": (
        ["recon", "x", "-o", "y", "--steps", "many"],
        "--steps",
        "recon --help",
    ),
}

WANTED = ["torch>=2.11", "pydicom>=3.0.1", "galsim>=2.5; extra == 'simulation'"]


@pytest.mark.parametrize("case", MISUSED)
def test_misuse_is_one_line(case: str) -> None:
    arguments, what, repair = MISUSED[case]
    result = CliRunner().invoke(app, arguments, prog_name="rimaging")
    assert result.exit_code == 2 and not result.stdout
    (line,) = result.stderr.splitlines()
    assert line.startswith("rimaging: error: ") and what in line and repair in line


def test_without_a_command_the_help_is_shown() -> None:
    result = CliRunner().invoke(app, [], prog_name="rimaging")
    assert "Commands:" in result.output and "error:" not in result.output


def test_a_package_that_is_not_installed_is_no_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.requires", lambda name: WANTED)
    for module, repair in {
        "galsim": "pip install 'rimaging[simulation]'",
        "pydicom.uid": "rimaging doctor",
    }.items():

        def absent(module: str = module) -> None:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)

        monkeypatch.setattr("rimaging.doctor.main", absent)
        result = CliRunner().invoke(app, ["doctor"], prog_name="rimaging")
        (line,) = result.stderr.splitlines()
        assert result.exit_code == 2 and module in line and repair in line and "defect" not in line
