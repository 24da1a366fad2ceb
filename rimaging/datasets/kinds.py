"""The three kinds of data: what each is called, and which door takes it."""

from __future__ import annotations

from rimaging.errors import OptionError

__all__ = ["COMMANDS", "wrong_kind"]

COMMANDS = {
    "kspace": "rimaging recon",
    "sky": "rimaging deconvolve",
    "image": "rimaging denoise",
}
"""The command for each kind of measurement."""

_DOORS = {
    "kspace": "rimaging.mri.reconstruct",
    "sky": "rimaging.astro.deconvolve",
    "image": "rimaging.image",
}
_NAMES = {
    "kspace": "k-space of a scan",
    "sky": "an image of the sky",
    "image": "a picture or volume",
}


def wrong_kind(found: str, wanted: str) -> OptionError:
    """The error for data of one kind at the door of another, which names the right door."""
    return OptionError(
        f"this is {_NAMES[found]}, expected {_NAMES[wanted]}: use {COMMANDS[found]} "
        f"(in Python {_DOORS[found]})"
    )
