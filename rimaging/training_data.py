"""What a training reads: the data cards that a sampler knows, and the files of these alone."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rimaging.catalogue import card_folder
from rimaging.datasets.data_card import DataCard, data_root, load_data_card
from rimaging.errors import OptionError

READS: dict[str, tuple[str, ...]] = {
    "photographs": ("bsds300",),
    "pictures": ("bsds300",),
    "microscopy": ("w2s",),
    "features": ("bsds300", "squeezenet"),
    "kspace": ("chest100", "ptbp48", "oasis14", "brain-axial24", "kellman", "bsds300"),
    "sky": ("cosmos-galaxies", "cosmos-psfs", "glimpse", "horsehead", "bsds300"),
}
"""Data cards that each sampler reads; others would be left aside in silence."""


def data_cards(sampler: str, data: Sequence[str | Path]) -> Iterator[DataCard]:
    """The cards that were given, or all that a sampler reads; OptionError for one it does not."""
    known = READS[sampler]
    for given in data or known:
        card = load_data_card(given)
        if card.name not in known:
            raise OptionError(
                f"sampler '{sampler}' does not read data card '{card.name}': give of "
                f"{', '.join(known)} ({card_folder('datasets').name}/)"
            )
        yield card


@contextmanager
def linked_data(cards: Sequence[DataCard]) -> Iterator[Path]:
    """A folder with links to the files of these cards and to no others, each verified.

    What is trained on is thus what the cards say, whatever else lies below the root of the data.

    Raises:
        FormatError: no root of the data.
        DataError: files that are missing or differ from their cards.
    """
    root = data_root().resolve()
    for card in cards:
        card.verify(root)
    with tempfile.TemporaryDirectory(prefix="rimaging-") as name:
        folder = Path(name)
        for path in {path for card in cards for path in card.files}:
            link = folder / path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(root / path)
        yield folder


def digest(card: DataCard) -> str:
    """The sha256 over the paths and checksums of a data card, which names its content."""
    return hashlib.sha256(json.dumps(sorted(card.files.items())).encode()).hexdigest()
