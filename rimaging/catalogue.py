"""Where the catalogues of cards are: `operators/` and `datasets/` of the repository.

In a checkout they are the folders at its root; a wheel carries them as `rimaging/_cards/`.
"""

from __future__ import annotations

from pathlib import Path

from rimaging.errors import CardError

__all__ = ["KINDS", "card_folder"]

KINDS = ("operators", "datasets")


def card_folder(kind: str) -> Path:
    """Find the folder that holds the cards of a kind ("operators" or "datasets").

    Raises CardError for another kind, and where the installation carries no cards.
    """
    if kind not in KINDS:
        raise CardError(f"There is no catalogue {kind!r}: ask for one of {', '.join(KINDS)}.")
    package = Path(__file__).resolve().parent
    checkout = package.parent
    # Only our own checkout has both; a folder `datasets` in site-packages is somebody else's.
    if (checkout / "pyproject.toml").is_file() and (checkout / kind).is_dir():
        return checkout / kind
    installed = package / "_cards" / kind
    if installed.is_dir():
        return installed
    raise CardError(f"This installation lacks {installed}: reinstall rimaging from its wheel.")
