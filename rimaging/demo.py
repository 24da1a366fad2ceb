"""The demonstration: a sky, a scan and a photograph against the classical methods, in a report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from rimaging.demo_scenes import Scene, photograph, real_scan, scan, sky
from rimaging.errors import FormatError
from rimaging.reports.html import report, save_report
from rimaging.rim.weights import load_weights

MASTERS = {"kspace": "mri", "sky": "astro", "image": "image"}


def main(out: Path) -> None:
    """Run all scenes, print the table, write ``out``/report.html and print its path last.

    Raises:
        WeightsError: weights that do not come with this installation.
        FormatError: a folder that cannot be written.
    """
    from rich.console import Console

    for name in MASTERS.values():
        load_weights(name)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(
            f"cannot make the folder {out.name!r} ({error.strerror}): give another by --out"
        ) from None
    console = Console()
    started = time.perf_counter()
    scenes = []
    for make in (sky, scan, photograph, real_scan):
        console.print(f"{(make.__doc__ or '').splitlines()[0]} ...", style="dim")
        scene = make()
        if scene is not None:
            scenes.append(scene)
        else:
            console.print("  left out: its data are not here", style="dim")
    _print_table(console, scenes)
    seconds = time.perf_counter() - started
    page = report(
        "One core, three instruments",
        summary="A telescope image, an MR scan and a photograph, each reconstructed by a Recurrent "
        "Inference Machine of the same code, beside the classical methods. Move the sliders.",
        chapters=[scene.chapter() for scene in scenes],
        provenance=_provenance(seconds),
    )
    path = save_report(out / "report.html", page)
    console.print(f"{seconds:.0f} s in all; open the report in a browser:")
    # Plain, so that a terminal's width does not break the path.
    print(path)


def _print_table(console: Any, scenes: list[Scene]) -> None:
    from rich.table import Table

    table = Table("method", box=None, header_style="bold", pad_edge=False)
    for column in ("PSNR, dB", "SSIM", "seconds"):
        table.add_column(column, justify="right")
    for scene in scenes:
        table.add_row(f"\n[bold]{scene.title}[/bold]")
        best = max(row.psnr or 0.0 for row in scene.rows)
        for row in scene.rows:
            table.add_row(
                f"  {row.name}",
                f"{row.psnr:.2f}",
                f"{row.ssim:.4f}",
                "" if row.seconds is None else f"{row.seconds:.2f}",
                style="bold green" if row.psnr == best else "",
            )
    console.print(table)


def _provenance(seconds: float) -> dict[str, Any]:
    """What ran: weights by their digests, threads and time."""
    cards = {name: load_weights(name)[1] for name in MASTERS.values()}
    return {
        "weights": {name: card["sha256"] for name, card in cards.items()},
        "threads": torch.get_num_threads(),
        "seconds in all": round(seconds, 1),
        "pictures": "scikit-image: hubble_deep_field.jpg, camera.png; nibabel: example4d.nii.gz",
    }
