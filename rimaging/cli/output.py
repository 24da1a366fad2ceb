"""Where results go: refused before anything is computed, written after it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rimaging.errors import FormatError

if TYPE_CHECKING:
    from rimaging.reconstruction import Reconstruction

DOUBTFUL = 2.0
"""chi2 from which on a picture is not left without a word: its noise or its model is off."""


def check_outputs(
    output: Path | str,
    report: Path | None,
    overwrite: bool,
    show_steps: Path | None = None,
    error_map: str | None = None,
) -> None:
    """Refuse before anything is computed what could not be written after it.

    An output that ends with / is a folder of DICOM files.
    """
    from rimaging.datasets.folder import check_folder, is_folder
    from rimaging.datasets.losses import error_file
    from rimaging.datasets.save import SUFFIXES, sidecar

    wanted: list[tuple[Path, tuple[str, ...]]] = []
    if is_folder(output):
        check_folder(Path(output).expanduser(), ".dcm", overwrite=overwrite)
    else:
        wanted.append((Path(output), SUFFIXES))
    if error_map not in (None, "none"):
        beside = error_file(output)
        if beside is not None:
            wanted.append((beside, SUFFIXES))
    if report is not None:
        wanted.append((report, (".html",)))
    if show_steps is not None:
        wanted.append((show_steps, (".png",)))
    for path, suffixes in wanted:
        if not path.name.lower().endswith(suffixes):
            raise FormatError(f"{path.name!r} has no suffix of {', '.join(suffixes)}: choose one")
        if path.is_dir() or (path.exists() and not overwrite):
            raise FormatError(f"{path.name!r} exists: choose another name, or give --overwrite")
        beside = sidecar(path)
        if beside is not None and beside.exists() and not overwrite:
            raise FormatError(f"{beside.name!r} exists: choose another name, or give --overwrite")
        if not path.parent.is_dir():
            raise FormatError(f"the folder of {path.name!r} does not exist: create it first")


def finish(
    result: Reconstruction,
    output: Path | str,
    report: Path | None,
    overwrite: bool,
    like: str | None = None,
    show_steps: Path | None = None,
) -> None:
    """Write the image, and the report and the film where they are wanted, and say so."""
    from rimaging.datasets.losses import error_file

    result.save(output, overwrite=overwrite, like=like)
    shape = " x ".join(map(str, result.image.shape))
    chi2 = float(result.chi2)
    typer.echo(f"wrote {output} ({shape}, chi2 {chi2:.3f} per measured value)")
    if chi2 > DOUBTFUL and result.provenance["method"] == "rim":  # others do not aim at the noise
        typer.echo(
            f"rimaging: warning: what is left over is {math.sqrt(chi2):.2g} times the noise: the "
            "noise is understated (state it; that of resampled data is more than it looks), or "
            "the model (PSF, coil maps, mask) is wrong; --report shows where",
            err=True,
        )
    beside = None if result.uncertainty is None else error_file(output)
    if beside is not None:
        result.save_error(beside, overwrite=overwrite)
        typer.echo(f"wrote {beside} (standard deviation of each voxel)")
    if report is not None:
        result.report(report)
        typer.echo(f"wrote {report}")
    if show_steps is not None:
        result.film(show_steps)
        typer.echo(f"wrote {show_steps} ({len(result.steps)} steps)")
