"""The command line: it reads options, calls a door and says in one line what went wrong."""

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
    app()
