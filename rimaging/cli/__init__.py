"""The command line: it reads options, calls a door and says in one line what went wrong."""

import os

from rimaging.cli import adapt, astro, image, mosaic, mri, psf, radio, tools, train, validate
from rimaging.cli.app import app

__all__ = [
    "adapt",
    "app",
    "astro",
    "image",
    "main",
    "mosaic",
    "mri",
    "psf",
    "radio",
    "tools",
    "train",
    "validate",
]


def main() -> None:
    """Run the command line."""
    # Read when torch is loaded. Beside other work GNU OpenMP's threads wait for each other in loops
    # of 300,000 turns, which makes a slice four times slower; idle cores lose nothing by 1,000.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    app()
