"""Misuse is told in one line, like every other error."""

from __future__ import annotations

import warnings
from typing import get_args

import pytest
import typer
from typer.testing import CliRunner

from rimaging.astro import methods as astro_methods
from rimaging.astro import radio_methods
from rimaging.cli import app
from rimaging.image import methods as image_methods
from rimaging.mri import methods as mri_methods

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


COMMANDS = dict(typer.main.get_command(app).commands)
OPTIONS = [(name, option) for name, c in COMMANDS.items() for option in c.params]


def test_every_command_and_option_is_described_once() -> None:
    shown = CliRunner().invoke(app, ["--help"], prog_name="rimaging", env={"COLUMNS": "80"}).output
    assert "..." not in shown.partition("Commands:")[2]
    for name, option in OPTIONS:
        text = option.help
        assert text and text.endswith("."), (name, option.name)
        assert not (option.show_default and option.default and "default" in text), (name, text)
        assert not option.secondary_opts, f"{name} {option.name} has a second name"


def test_the_same_option_of_a_sky_has_the_same_words() -> None:
    for shared in ("noise", "target", "gain", "read_noise", "weights", "mask", "method"):
        skies = [o for name, o in OPTIONS if name in ("deconvolve", "plan", "validate")]
        assert len({option.help for option in skies if option.name == shared}) == 1, shared


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("recon", mri_methods.MethodName),
        ("deconvolve", astro_methods.MethodName),
        ("validate", astro_methods.MethodName),
        ("radio", radio_methods.MethodName),
        ("denoise", image_methods.MethodName),
    ],
)
def test_every_method_is_named(command: str, names: object) -> None:
    (text,) = [o.help for name, o in OPTIONS if name == command and o.name == "method"]
    assert all(method in text for method in get_args(names))


def test_a_user_without_a_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> None:
        raise RuntimeError("Could not determine home directory.")  # as pathlib and astropy do

    monkeypatch.setattr("rimaging.doctor.main", homeless)
    result = CliRunner().invoke(app, ["doctor"], prog_name="rimaging")
    (line,) = result.stderr.splitlines()
    assert result.exit_code == 2 and "set HOME" in line


def test_a_warning_is_one_line_without_the_code_that_it_arose_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rimaging.doctor.main", lambda: warnings.warn("an even PSF", stacklevel=1))
    result = CliRunner().invoke(app, ["doctor"], prog_name="rimaging")
    assert "rimaging: warning: an even PSF" in result.stderr.splitlines()
    assert ".py" not in result.stderr
