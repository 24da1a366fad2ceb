from __future__ import annotations

import json
from pathlib import Path

from astropy.io import fits
from typer.testing import CliRunner, Result

from rimaging.cli import app

HEAD = "#time(UTC),T1,T2,U(lambda),V(lambda),Iamp(Jy),Iphase(d),Isigma(Jy)\n"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["radio", *map(str, arguments)])


def table(path: Path) -> Path:
    """A point of 2 Jy in the middle, and stations that all see each other."""
    lines = [HEAD]
    for i in range(12):
        for j in range(i):
            u, v = 1e5 * (i * i % 7 - j * j % 7) + 3e3 * i, 1e5 * (i * 5 % 11 - j * 5 % 11)
            lines.append(f"0.5,S{i:02d},S{j:02d},{u},{v},2.0,0.0,0.01\n")
    path.write_text("".join(lines))
    return path


def test_a_table_becomes_a_fits(tmp_path: Path) -> None:
    source, out = table(tmp_path / "point.csv"), tmp_path / "point.fits"
    result = run(
        source, "-o", out, "--size", 48, "--pixel", "20mas", "--weighting", "briggs:0.5",
        "--method", "clean",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "phase centre unknown" in result.output and "Jy/beam" in result.output
    with fits.open(out) as hdus:
        assert float(hdus["SCI"].data[24, 24]) == float(hdus["SCI"].data.max())
        assert abs(float(hdus["MODEL"].data.sum()) - 2) < 0.05
    facts = json.loads((tmp_path / "point.json").read_text())
    assert facts["weighting"] == "briggs 0.5" and facts["method"] == "clean"
    assert run(source, "-o", out).exit_code == 2
    bad = run(source, "-o", tmp_path / "b.fits", "--weighting", "briggs:high")
    assert bad.exit_code == 2 and "briggs:0.5" in bad.stderr


def test_what_no_sky_explains_is_warned_of(tmp_path: Path) -> None:
    lines = table(tmp_path / "point.csv").read_text().splitlines()
    turned = [line.replace(",0.0,", f",{97 * i % 360},") for i, line in enumerate(lines)]
    (tmp_path / "phases.csv").write_text("\n".join(turned))
    for name, words in (("phases", "--uncalibrated"), ("point", "")):
        out = tmp_path / f"{name}.fits"
        found = run(
            tmp_path / f"{name}.csv", "-o", out, "--size", 32, "--pixel", "20mas",
            "--method", "clean",
        )  # fmt: skip
        assert found.exit_code == 0
        assert ("warning" in found.stderr) == bool(words) and words in found.stderr
