"""Where results go: refused before anything is computed, written after it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rimaging.errors import FormatError

if TYPE_CHECKING:
    from rimaging.reconstruction import Reconstruction

DOUBTFUL = 2.0
"""chi2 from which on, and below whose inverse, a picture is not left without a word: its noise or
its model is off. With the noise as it is, `rimaging.image` and `rimaging.astro` leave 0.57 or more.
"""


def check_outputs(
    output: Path | str,
    report: Path | None,
    overwrite: bool,
    show_steps: Path | None = None,
    error_map: str | None = None,
    inputs: Sequence[Path | str | None] = (),
) -> None:
    """Refuse before anything is computed what could not be written after it.

    An output that ends with / is a folder of DICOM files. ``inputs``: the files that are read (or
    numbers and names in place of one); no output may be one of them, or another output.
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
    folder = [output] if is_folder(output) else []
    check_distinct([*folder, *(path for path, _ in wanted)], inputs)
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


def check_distinct(outputs: Sequence[Path | str], inputs: Sequence[Path | str | None] = ()) -> None:
    """Refuse, whatever --overwrite says, an output that is an input or another output.

    Inputs that are numbers or names in place of files do not matter, nor how a path is written.
    """
    from rimaging.datasets.fits_open import split_extension
    from rimaging.datasets.save import sidecar

    read = {
        place
        for given in inputs
        if given is not None
        for place in _places(split_extension(given)[0])
    }
    written: set[Path] = set()
    for output in outputs:
        beside = sidecar(Path(output))
        places = {*_places(Path(output)), *(() if beside is None else _places(beside))}
        if places & read:
            raise FormatError(f"{Path(output).name!r} is an input: choose another name")
        if places & written:
            raise FormatError(f"{Path(output).name!r} is an output twice: choose another name")
        written |= places


def _places(path: Path) -> set[Path]:
    """Where a file lies, with the other half of BART's pair."""
    place = path.expanduser().resolve()
    half = {".cfl": ".hdr", ".hdr": ".cfl"}.get(place.suffix)
    return {place} if half is None else {place, place.with_suffix(half)}


def finish(
    result: Reconstruction,
    output: Path | str,
    report: Path | None,
    overwrite: bool,
    like: str | None = None,
    show_steps: Path | None = None,
    stated: bool = True,
) -> None:
    """Write the image, and the report and the film where they are wanted, and say so.

    stated: whether the noise is known or measured, and not only taken to be small.
    """
    from rimaging.datasets.losses import error_file

    result.save(output, overwrite=overwrite, like=like)
    shape = " x ".join(map(str, result.image.shape))
    for note in result.provenance["assumed"]:
        if note.endswith("left out"):  # of a picture: alpha, further images of a TIFF
            typer.echo(f"rimaging: note: {note}", err=True)
    stretched = result.stretch(output)
    if stretched is not None:
        typer.echo(
            f"rimaging: note: {Path(output).name} shows values from {stretched[0]:.4g} as black to "
            f"{stretched[1]:.4g} as white: .tif, .fits and .npy keep them as they are",
            err=True,
        )
    chi2 = float(result.chi2)
    typer.echo(f"wrote {output} ({shape}, chi2 {chi2:.3f} per measured value)")
    # (Others do not aim at the noise; plug-and-play does where it begins with weights of its task.)
    aims = result.provenance["method"] == "rim" or "start" in result.provenance
    if chi2 > DOUBTFUL and aims:
        typer.echo(
            f"rimaging: warning: what is left over is {math.sqrt(chi2):.2g} times the noise: the "
            "noise is understated (state it; that of resampled data is more than it looks), or "
            "the model (PSF, coil maps, mask) is wrong; --report shows where",
            err=True,
        )
    if stated and _too_close(result):
        typer.echo(
            f"rimaging: warning: what is left over is only {math.sqrt(chi2):.2g} times the noise: "
            "the noise is overstated (check its units, or leave it out to have it estimated), or "
            "the image follows the noise",
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


def _too_close(result: Reconstruction) -> bool:
    """Whether the image is nearer to the data than their noise, by far and not by chance.

    Undersampled k-space has fewer values than the image, which may well explain them all.
    """
    if result.measurement is None or result.measurement.kind == "kspace":
        return False
    fit = result.diagnostics.verdicts()[0]
    aims = result.provenance["method"] in ("rim", "plug-and-play")
    return aims and fit.level == "note" and float(result.chi2) < 1 / DOUBTFUL
