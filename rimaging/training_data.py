"""What a training reads: the data cards that a sampler knows, and the files of these alone."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rimaging.catalogue import card_folder
from rimaging.datasets.data_card import DataCard, Item, Split, data_root, load_data_card
from rimaging.datasets.simulate.images import cards_of
from rimaging.errors import CardError, OptionError

OPEN = frozenset({"photographs", "pictures", "microscopy"})
"""Samplers that read any card: of images, or of pairs of images."""

READS: dict[str, tuple[str, ...]] = {
    "photographs": ("bsds300",),
    "pictures": ("bsds300",),
    "microscopy": ("w2s",),
    "features": ("bsds300", "squeezenet"),
    "kspace": ("chest100", "ptbp48", "oasis14", "brain-axial24", "kellman", "bsds300"),
    "sky": ("cosmos-galaxies", "cosmos-psfs", "glimpse", "horsehead", "bsds300"),
}
"""Data cards that each sampler reads by default; those not in `OPEN` know only these."""


def data_cards(sampler: str, data: Sequence[str | Path]) -> tuple[DataCard, ...]:
    """The cards that were given, or those that a sampler reads by default.

    Raises OptionError for a card that the sampler does not read, and for two of one name; CardError
    for cards that lack what the sampler needs: images, pairs, both splits.
    """
    known = READS[sampler]
    cards = tuple(load_data_card(given) for given in data or known)
    for name, count in Counter(card.name for card in cards).items():
        if count > 1:
            raise OptionError(
                f"{count} data cards are called '{name}': give each a name of its own"
            )
    if sampler in OPEN:
        _check_images(sampler, cards)
        return cards
    for card in cards:
        if card.name not in known:
            raise OptionError(
                f"sampler '{sampler}' does not read data card '{card.name}': it knows no others "
                f"than {', '.join(known)} ({card_folder('datasets').name}/); images of your own "
                f"are read by {', '.join(sorted(OPEN))}"
            )
    return cards


def _check_images(sampler: str, cards: Sequence[DataCard]) -> None:
    """Whether a sampler of `OPEN` can learn from the cards, and be judged by other files."""
    for card in cards:
        if card.pairs is not None and sampler != "microscopy":
            raise CardError(
                f"data card '{card.name}' has [pairs], of which sampler '{sampler}' would take the "
                "noisy images for truths: leave the table and these files out, or train care"
            )
        if card.reader != "measurement":
            raise CardError(
                f"data card '{card.name}' has reader '{card.reader}', sampler '{sampler}' needs "
                'images: write reader = "measurement", or give another card'
            )
    taught: dict[str, list[Item]] = {}
    for item in _items(sampler, cards, "train"):
        taught.setdefault(item.sha256, []).append(item)
    for item in _items(sampler, cards, "validation"):
        if any(_overlap(item, other) for other in taught.get(item.sha256, ())):
            raise CardError(
                f"{item.path} is in the split train and in validation, which would judge nothing: "
                "leave it in one"
            )


def _items(sampler: str, cards: Sequence[DataCard], split: Split) -> Iterator[Item]:
    """What a sampler reads of a split, of pairs both."""
    for card in cards_of(cards, split):
        if sampler == "microscopy":
            yield from (item for _, *pair in card.paired(split) for item in pair)
        else:
            yield from card.items(split)


def _overlap(one: Item, other: Item) -> bool:
    """Whether two ranges of entries of the same file share one; without a range it is all."""
    if one.stop is None or other.stop is None:
        return True
    return max(one.start or 0, other.start or 0) < min(one.stop, other.stop)


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
